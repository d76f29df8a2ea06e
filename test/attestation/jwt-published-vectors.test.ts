/** Tokens of real verifier services, and the JOSE known answers of Wycheproof. A checkout without the shared vectors skips them. */
import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { parseJwtEvidence } from '../../src/attestation/jwt/evidence.ts';
import { verifySignature } from '../../src/attestation/jwt/keys.ts';
import { verifyToken } from '../../src/attestation/jwt/verifier.ts';
import { isRefusal, type JwtAnchor } from '../../src/domain/evidence.ts';
import { JWS_ALGORITHM_NAMES, type PublicJwk, readJwk } from '../../src/domain/jwk.ts';
import { withVectors } from '../shared-vectors.ts';

interface Case {
  readonly id: string;
  readonly format: string;
  readonly file: string;
  readonly companions: { readonly jwks?: string; readonly key?: string };
  readonly expected: { readonly valid: boolean; readonly reason: string; readonly at: string; readonly iss: string | null };
}

const FOLDER = new URL('../../../shared/vectors/attestation/', import.meta.url);
const read = (file: string) => readFileSync(new URL(file, FOLDER), 'utf8');
const noSets = { keysOf: () => Promise.reject(new Error('nothing is fetched')) };

function keysOf({ companions }: Case): readonly PublicJwk[] {
  const listed =
    companions.jwks !== undefined
      ? JSON.parse(read(companions.jwks)).keys
      : companions.key !== undefined
        ? [JSON.parse(read(companions.key))]
        : [];
  return (listed as unknown[]).flatMap((one) => readJwk(one) ?? []);
}

/** What two people would sign for such an issuer: these tokens answer a nonce, so none needs an audience. */
function anchorFor(one: Case, issuer: string): JwtAnchor {
  return {
    kind: 'jwt',
    name: one.id,
    issuer,
    jwks: { keys: keysOf(one) },
    algorithms: JWS_ALGORITHM_NAMES,
    headerKeys: 'ignored',
    nonceClaim: ['eat_nonce'],
    claims: {},
  };
}

withVectors<Case[] | { cases: Case[] }>('tokens of verifier services', 'attestation/MANIFEST.json', (manifest) => {
  const all = (Array.isArray(manifest) ? manifest : manifest.cases).filter(({ format }) => format === 'jwt-eat');
  // Chains in the header (x5c) to a pinned root are not offered: those cases can only be refused here.
  const keyed = all.filter(({ companions }) => companions.jwks !== undefined || companions.key !== undefined);
  const named = keyed.filter(({ expected }) => expected.iss !== null);

  test('there are cases of each sort', () => {
    expect([all.length >= 14, keyed.length >= 8, named.length >= 4]).toEqual([true, true, true]);
  });

  test.each(named)('$id: valid is $expected.valid ($expected.reason)', async (one) => {
    const token = parseJwtEvidence({ token: read(one.file).trim() });
    if (isRefusal(token)) throw new Error(token.detail);
    const context = { anchors: [anchorFor(one, one.expected.iss ?? '')], now: new Date(one.expected.at) };
    const verdict = await verifyToken(token, context, noSets);
    expect(isRefusal(verdict) ? verdict.code : 'verified').toBe(one.expected.valid ? 'verified' : 'endorsement_untrusted');
    const later = await verifyToken(token, { ...context, now: new Date(Date.parse(one.expected.at) + 86_400_000) }, noSets);
    expect(isRefusal(later) && later.code).toBe(one.expected.valid ? 'evidence_expired' : 'endorsement_untrusted');
  });

  // Some issuers name themselves nowhere. Their signature verifies, and they are still nobody's issuer.
  test.each(keyed.filter(({ expected }) => expected.iss === null))('$id: a good signature, and no issuer', async (one) => {
    const token = parseJwtEvidence({ token: read(one.file).trim() });
    if (isRefusal(token)) throw new Error(token.detail);
    expect(await verifySignature(token, anchorFor(one, ''), noSets, new Date(one.expected.at))).toBeUndefined();
    const verdict = await verifyToken(token, { anchors: [anchorFor(one, '')], now: new Date(one.expected.at) }, noSets);
    expect(isRefusal(verdict) && verdict.code).toBe('endorsement_untrusted');
  });

  test.each(all.filter((one) => !keyed.includes(one)))('$id: no key of ours, so it is refused whatever it brings along', async (one) => {
    const token = parseJwtEvidence({ token: read(one.file).trim() });
    if (isRefusal(token)) throw new Error(token.detail);
    const issuer = typeof token.claims['iss'] === 'string' ? token.claims['iss'] : '';
    const verdict = await verifyToken(token, { anchors: [anchorFor(one, issuer)], now: new Date(one.expected.at) }, noSets);
    expect(isRefusal(verdict) && verdict.code).toBe('endorsement_untrusted');
  });
});

interface Signatures {
  readonly testGroups: ReadonlyArray<{
    readonly comment: string;
    readonly public?: object;
    readonly private?: object;
    readonly tests: ReadonlyArray<{ readonly tcId: number; readonly comment: string; readonly jws: string; readonly result: string }>;
  }>;
}

withVectors<Signatures>('JSON Web Signature (Wycheproof)', 'wycheproof/json_web_signature_test.json', ({ testGroups }) => {
  const verdicts = async (group: Signatures['testGroups'][number]) => {
    const jwk = readJwk(group.public);
    const keys = jwk === undefined ? [] : [{ ...jwk, kid: undefined }];
    const anchor: JwtAnchor = {
      kind: 'jwt',
      name: 'w',
      issuer: 'w',
      jwks: { keys },
      algorithms: JWS_ALGORITHM_NAMES,
      nonceClaim: ['n'],
      claims: {},
    };
    const answers = [];
    for (const { tcId, jws, result, comment } of group.tests) {
      const parts = typeof jws === 'string' ? jws.split('.') : [];
      // The payloads are no claims sets. The signature is what is asked about, so one with an empty object stands in for the parse alone.
      const readable = parts.length === 3 ? parseJwtEvidence({ token: `${parts[0]}.e30.${parts[2]}` }) : undefined;
      const wrong =
        readable === undefined || isRefusal(readable) || typeof jws !== 'string'
          ? 'unreadable'
          : await verifySignature({ ...readable, compact: jws, kid: undefined }, anchor, noSets, new Date(0));
      answers.push({ tcId, comment, result, accepted: wrong === undefined });
    }
    return answers;
  };
  const withKeys = testGroups.filter((group) => group.public !== undefined);

  test('nothing invalid is accepted', async () => {
    let asked = 0;
    for (const group of testGroups) {
      for (const one of await verdicts(group)) {
        asked++;
        if (one.result === 'invalid') expect({ ...one, group: group.comment }).toMatchObject({ accepted: false });
      }
    }
    expect(asked).toBeGreaterThan(350);
  });

  test('HMAC and none are accepted nowhere, valid or not', async () => {
    for (const group of testGroups.filter(({ public: key }) => key === undefined))
      for (const one of await verdicts(group)) expect(one.accepted).toBe(false);
  });

  test('what is valid is accepted, unless the key says that it is for another algorithm', async () => {
    const refused: number[] = [];
    let accepted = 0;
    for (const group of withKeys)
      for (const one of await verdicts(group)) {
        if (one.accepted) accepted++;
        else if (one.result === 'valid') refused.push(one.tcId);
      }
    expect(refused).toEqual([346, 347, 350, 351]); // PS384 with a key for PS256; ES512 with a key for "ES521"
    expect(accepted).toBeGreaterThan(20);
  });
});

interface Keys {
  readonly testGroups: ReadonlyArray<{
    readonly comment: string;
    readonly public?: { readonly keys: readonly unknown[] };
    readonly tests: ReadonlyArray<{ readonly tcId: number; readonly jws: string; readonly result: string }>;
  }>;
}

withVectors<Keys>('JSON Web Key (Wycheproof)', 'wycheproof/json_web_key_test.json', ({ testGroups }) => {
  // 7: a key with the ROCA weakness, which an issuer must not have. Only its own anchor makes it count, so it is not looked for.
  const tests = testGroups
    .flatMap((group) => group.tests.map((one) => ({ ...one, listed: group.public?.keys ?? [] })))
    .filter(({ tcId, listed }) => tcId !== 7 && listed.length > 0);

  test.each(tests)('$tcId: $result', async ({ jws, result, listed }) => {
    const keys = listed.flatMap((one) => readJwk(one) ?? []);
    const anchor: JwtAnchor = {
      kind: 'jwt',
      name: 'w',
      issuer: 'w',
      jwks: { keys },
      algorithms: JWS_ALGORITHM_NAMES,
      nonceClaim: ['n'],
      claims: {},
    };
    const [header, , signature] = jws.split('.');
    const token = parseJwtEvidence({ token: `${header}.e30.${signature}` });
    const wrong = isRefusal(token) ? token : await verifySignature({ ...token, compact: jws }, anchor, noSets, new Date(0));
    expect(wrong === undefined).toBe(result === 'valid');
  });
});

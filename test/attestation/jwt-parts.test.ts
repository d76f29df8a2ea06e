/** A token about others whose digests it holds, as NVIDIA's service sends it: all of them, by one issuer, for one nonce, or none. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { JWTPayload } from 'jose';
import { createJwtAttester } from '../../src/attestation/jwt/attester.ts';
import { parseJwtEvidence } from '../../src/attestation/jwt/evidence.ts';
import { attachParts } from '../../src/attestation/jwt/parts.ts';
import { createJwtVerifier } from '../../src/attestation/jwt/verifier.ts';
import { trustAnchor } from '../../src/documents/anchors.ts';
import { sha256Hex, utf8 } from '../../src/domain/bytes.ts';
import { isRefusal, type JwtAnchor, jwtNonce, jwtNonceHex } from '../../src/domain/evidence.ts';
import { describeShared, inputsOf, type SharedEntry, sharedEntries } from './shared-evidence.ts';
import { at, BINDING, contextWith, honestClaims, KEY, makeKey, NONCE_ANCHOR, rawToken, tokenOf } from './token-issuer.ts';

const verifier = createJwtVerifier({ keysOf: () => Promise.reject(new Error('a key set was asked for')) });
const anchor: JwtAnchor = {
  ...NONCE_ANCHOR,
  nonceForm: 'hex',
  claims: { overall: ['x-nvidia-overall-att-result'], measured: ['submods', 'GPU-0', 'measres'], model: ['submods', 'GPU-1', 'hwmodel'] },
};
const nonce = { eat_nonce: jwtNonceHex(BINDING) };
const part = (over: JWTPayload = {}, key = KEY) =>
  tokenOf(honestClaims({ ...nonce, measres: 'success', hwmodel: 'GH100 A01 GSP BROM', ...over }), {}, key);
const digestsOf = (parts: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(parts).map(([name, token]) => [name, ['DIGEST', ['SHA-256', sha256Hex(utf8(token))]]]));
const overall = (parts: Readonly<Record<string, string>>, over: JWTPayload = {}) =>
  tokenOf(honestClaims({ ...nonce, 'x-nvidia-overall-att-result': true, submods: digestsOf(parts), ...over }));

const gpus = { 'GPU-0': await part(), 'GPU-1': await part({ jti: 'other' }) };
const verify = (body: Record<string, unknown>, change: Partial<JwtAnchor> = {}) =>
  verifier.verify(body, contextWith({ ...anchor, ...change }));
const codeOf = async (body: Record<string, unknown>, change: Partial<JwtAnchor> = {}) => {
  const answer = await verify(body, change);
  return isRefusal(answer) ? answer.code : 'verified';
};
const token = await overall(gpus);

describe('a token with the tokens it is about', () => {
  test('says what all of them say, under the names that the anchor maps', async () => {
    expect(await verify({ token, parts: gpus })).toMatchObject({
      facts: { overall: 'true', measured: 'success', model: 'GH100 A01 GSP BROM' },
      proved: { fresh: true, keyBound: true },
    });
  });

  test('without them says what stands in it alone', async () => {
    const claims = await verify({ token });
    expect(claims).toMatchObject({ facts: { overall: 'true' } });
    expect(Object.keys((claims as { facts: object }).facts)).toEqual(['overall']);
  });

  test.each<[string, () => Promise<Record<string, unknown>>, string]>([
    ['one of them is left out', async () => ({ token, parts: { 'GPU-0': gpus['GPU-0'] } }), 'evidence_signature_invalid'],
    ['one is added', async () => ({ token, parts: { ...gpus, 'GPU-2': gpus['GPU-0'] } }), 'evidence_signature_invalid'],
    ['two change places', async () => ({ token, parts: { 'GPU-0': gpus['GPU-1'], 'GPU-1': gpus['GPU-0'] } }), 'evidence_signature_invalid'],
    ['it has no digests', async () => ({ token: await overall(gpus, { submods: undefined }), parts: gpus }), 'evidence_signature_invalid'],
    [
      'it has digests of another kind',
      async () => ({ token: await overall(gpus, { submods: shorter(digestsOf(gpus)) }), parts: gpus }),
      'evidence_signature_invalid',
    ],
    ['one is signed by another key', () => bundle({ 'GPU-0': part({}, makeKey('key-1')) }), 'evidence_signature_invalid'],
    ['one is of another issuer', () => bundle({ 'GPU-0': part({ iss: 'https://other.test' }) }), 'endorsement_untrusted'],
    [
      'one answers another nonce',
      () => bundle({ 'GPU-0': part({ eat_nonce: jwtNonceHex(BINDING.slice(1)) }) }),
      'evidence_binding_mismatch',
    ],
    ['one has no nonce', () => bundle({ 'GPU-0': part({ eat_nonce: undefined }) }), 'evidence_binding_mismatch'],
    ['one has expired', () => bundle({ 'GPU-0': part({ exp: at(-60) }) }), 'evidence_expired'],
    ['one is not signed', async () => bundle({ 'GPU-0': Promise.resolve(rawToken('{"alg":"none"}', '{}')) }), 'endorsement_untrusted'],
    ['one is no token', async () => ({ token, parts: { 'GPU-0': 'e30.e30' } }), 'evidence_malformed'],
    ['the parts are none', async () => ({ token, parts: {} }), 'evidence_malformed'],
    [
      'a name is that of every object',
      async () => ({ token, parts: JSON.parse(`{"__proto__": "${gpus['GPU-0']}"}`) }),
      'evidence_malformed',
    ],
    [
      'there are more than any machine has',
      async () => ({ token, parts: Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`GPU-${n}`, gpus['GPU-0']])) }),
      'evidence_malformed',
    ],
  ])('is refused when %s', async (_what, body, code) => expect(await codeOf(await body())).toBe(code));

  test('whose nonce is in base64url is not what a service for hexadecimal says, and the other way round', async () => {
    const base64url = { eat_nonce: jwtNonce(BINDING) };
    expect(await codeOf({ token: await tokenOf(honestClaims(base64url)) })).toBe('evidence_binding_mismatch');
    expect(await codeOf({ token }, { nonceForm: undefined })).toBe('evidence_binding_mismatch');
    expect(await codeOf({ token: await tokenOf(honestClaims({ eat_nonce: nonce.eat_nonce.toUpperCase() })) })).toBe(
      'evidence_binding_mismatch',
    );
  });
});

test('an anchor says how its nonce is written only where there is one', () => {
  expect(trustAnchor.safeParse(anchor).success).toBe(true);
  const { nonceClaim: _, ...without } = anchor;
  expect(trustAnchor.safeParse(without).success).toBe(false);
});

test('the attester shows a bundle whole, and tells its program the nonce in both forms', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'wv-bundle-'));
  try {
    const program = join(folder, 'service.cjs');
    const printed = `JSON.stringify([['JWT', '${token}'], { 'GPU-0': '${gpus['GPU-0']}', nonces: process.env.WV_NONCE + '.' + process.env.WV_NONCE_HEX + '.x' }])`;
    await writeFile(program, `process.stdout.write(${printed} + '\\n')`);
    const body = await createJwtAttester({ command: [process.execPath, program] }).attest(BINDING);
    expect(body).toEqual({ token, parts: { 'GPU-0': gpus['GPU-0'], nonces: `${jwtNonce(BINDING)}.${jwtNonceHex(BINDING)}.x` } });
  } finally {
    await rm(folder, { recursive: true });
  }
});

describeShared('a real bundle of NVIDIA’s service', () => {
  const [whole, device] = ['overall', 'gpu0'].map((part) => sharedEntries('jwt-eat').find(({ id }) => id === `jwt/nras-2025-06-${part}`));

  test('is its word about every GPU, and no more when one byte of a part is another', async () => {
    if (whole === undefined || device === undefined) throw new Error('the vectors have them');
    const textOf = (entry: SharedEntry) => Buffer.from(inputsOf(entry).evidence).toString().trim();
    const [overallToken, parts] = [textOf(whole), { 'GPU-0': textOf(device) }];
    const { keys } = JSON.parse(Buffer.from(inputsOf(whole).companions['jwks'] ?? []).toString());
    const nvidia: JwtAnchor = {
      kind: 'jwt',
      name: 'NRAS',
      issuer: 'https://nras.attestation.nvidia.com',
      jwks: { keys },
      algorithms: ['ES384'],
      claims: {},
    };
    const attached = async (change: (token: string) => string) => {
      const token = parseJwtEvidence({
        token: overallToken,
        parts: Object.fromEntries(Object.entries(parts).map(([name, one]) => [name, change(one)])),
      });
      if (isRefusal(token)) return token.code;
      const read = await attachParts(token, {
        anchor: nvidia,
        keySets: { keysOf: async () => [] },
        now: new Date(whole.expected.at),
        binding: BINDING,
      });
      return isRefusal(read) ? read.code : read.claims['submods'];
    };
    expect(await attached((one) => one)).toMatchObject({ 'GPU-0': { hwmodel: expect.stringContaining('GH100'), measres: 'success' } });
    expect(await attached((one) => `${one.slice(0, -4)}${one.slice(-4) === 'AAAA' ? 'AAAB' : 'AAAA'}`)).toBe('evidence_signature_invalid');
  });
});

/** A genuine pair but for what is changed. */
async function bundle(change: Readonly<Record<string, Promise<string>>>): Promise<Record<string, unknown>> {
  const changed = Object.fromEntries(await Promise.all(Object.entries(change).map(async ([name, made]) => [name, await made] as const)));
  const parts = { ...gpus, ...changed };
  return { token: await overall(parts), parts };
}
function shorter(digests: ReturnType<typeof digestsOf>): object {
  return Object.fromEntries(Object.entries(digests).map(([name, digest]) => [name, ['DIGEST', ['SHA-1', digest[1]?.[1]]]]));
}

/** Tokens examined by themselves: whose word they are, when it counts, and what of it is acceptable. Every trick with a key is tried. */
import 'reflect-metadata';
import { createHash, webcrypto } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { JWTPayload } from 'jose';
import type { ExaminationInputs } from '../../src/attestation/examination.ts';
import { examineToken } from '../../src/attestation/jwt/examine.ts';
import { examineJwkTrust } from '../../src/attestation/jwt/examine-jwk.ts';
import { toBase64 } from '../../src/domain/bytes.ts';
import { flipEachByte } from './damage.ts';
import { agreesOnEverySharedEntry, describeShared, inputsOf, sharedEntries } from './shared-evidence.ts';
import { ca, certSign, issue, notCa, unknownCritical } from './test-ca.ts';
import { at, hmacToken, KEY, makeKey, NOW, rawHeader, rawToken, tokenOf } from './token-issuer.ts';

agreesOnEverySharedEntry('jwt-eat', examineToken);
agreesOnEverySharedEntry('jwk-x5c-trust', examineJwkTrust);

/** Ten thousand damaged twins, each with certificates to read, on a machine that does other things too. */
const LONG_MS = 180_000;
const GCP = 'https://confidentialcomputing.googleapis.com';
const EAR = 'tag:github.com,2024:confidential-containers/Trustee';
const bytes = (text: string | object) => new Uint8Array(Buffer.from(typeof text === 'string' ? text : JSON.stringify(text)));
const key = bytes(KEY.jwk);
const inputs = (token: string | object, over: Partial<ExaminationInputs> = {}): ExaminationInputs => ({
  evidence: bytes(token),
  companions: { key },
  parameters: {},
  roots: [],
  now: NOW,
  ...over,
});
/** An affirming EAR that was issued five seconds ago. */
const ear = (over: object = {}): JWTPayload => ({
  eat_profile: EAR,
  iat: at(-5),
  exp: at(300),
  submods: { cpu0: { 'ear.status': 'affirming' } },
  ...over,
});
const examine = async (token: string | Promise<string>, over?: Partial<ExaminationInputs>) => examineToken(inputs(await token, over));
const reasonsOf = async (token: string | Promise<string>, over?: Partial<ExaminationInputs>) => (await examine(token, over)).reasons;
const honest = await tokenOf(ear());

describe('whose word it is', () => {
  test('the pinned key decides, and what the token says is read', async () => {
    expect(await examine(honest)).toEqual({
      valid: true,
      accept: true,
      reasons: [],
      claims: expect.objectContaining({
        alg: 'ES256',
        kid: 'key-1',
        key_source: 'pinned key',
        product: 'CoCo Trustee',
        ear_status: { cpu0: 'affirming' },
      }),
    });
    expect(await reasonsOf(honest, { companions: { key: bytes(makeKey('other').jwk) } })).toEqual(['signature_invalid']);
  });

  test('a key in the header, or an address of one, is nobody: with none beside it no token counts', async () => {
    for (const header of [{ jwk: KEY.jwk }, { jku: 'https://issuer.test/keys' }, { x5u: 'https://issuer.test/chain' }, {}]) {
      expect(await reasonsOf(tokenOf(ear(), header), { companions: {} })).toEqual(['no_trusted_key']);
    }
    const thief = makeKey('thief');
    expect(await reasonsOf(tokenOf(ear(), { jwk: thief.jwk }, thief))).toEqual(['signature_invalid']);
  });

  test('a key set is asked by kid: not by the key, and not when two that fit have the name', async () => {
    const jwks = (...keys: object[]) => ({ companions: { jwks: bytes({ keys }) } });
    expect(await reasonsOf(honest, jwks(makeKey('key-0').jwk, KEY.jwk))).toEqual([]);
    expect(await reasonsOf(honest, jwks({ ...KEY.jwk, kid: 'key-2' }))).toEqual(['unknown_kid']);
    expect(await reasonsOf(honest, jwks({ ...KEY.jwk, kid: undefined }))).toEqual(['unknown_kid']);
    expect(await reasonsOf(honest, jwks(KEY.jwk, { ...makeKey('x').jwk, kid: 'key-1' }))).toEqual(['unknown_kid']);
    expect(await reasonsOf(honest, jwks(KEY.jwk, { ...makeKey('x', 'RS256').jwk, kid: 'key-1' }, KEY.jwk))).toEqual([]);
    expect(await reasonsOf(honest, jwks())).toEqual(['no_trusted_key', 'unknown_kid']);
  });

  test('a token without kid is of the one key that fits, or of nobody', async () => {
    const unnamed = (claims: object) => rawToken(JSON.stringify({ alg: 'ES256' }), JSON.stringify(claims));
    const jwks = { companions: { jwks: bytes({ keys: [KEY.jwk, makeKey('x', 'RS256').jwk] }) } };
    expect(await reasonsOf(unnamed(ear()), jwks)).toEqual([]);
    const [header, , signature] = unnamed(ear()).split('.');
    expect(await reasonsOf(`${header}.${unnamed(ear({ sub: 'else' })).split('.')[1]}.${signature}`, jwks)).toEqual([
      'signature_invalid',
      'unknown_kid',
    ]);
  });

  test('a key that is for another algorithm by its own JWK signs nothing else', async () => {
    const rsa = makeKey('key-1', 'RS256');
    const companions = { jwks: bytes({ keys: [{ ...rsa.jwk, alg: 'PS256' }] }) };
    expect(await reasonsOf(tokenOf(ear(), { alg: 'RS256' }, rsa), { companions })).toEqual(['algorithm_not_allowed']);
  });

  test.each([
    ['none', () => `${rawToken(rawHeader({ alg: 'none' }), JSON.stringify(ear()))}`, ['algorithm_not_allowed', 'signature_invalid']],
    [
      'none, without a signature',
      () => rawToken(rawHeader({ alg: 'none' }), JSON.stringify(ear())).replace(/[^.]+$/, ''),
      ['malformed', 'algorithm_not_allowed', 'signature_invalid'],
    ],
    ['an HMAC with the public key', () => hmacToken(key), ['algorithm_not_allowed', 'signature_invalid', 'claims_not_understood']],
    ['EdDSA', () => rawToken(rawHeader({ alg: 'EdDSA' }), JSON.stringify(ear())), ['algorithm_not_allowed', 'signature_invalid']],
    ['another curve', () => rawToken(rawHeader({ alg: 'ES384' }), JSON.stringify(ear())), ['algorithm_not_allowed', 'signature_invalid']],
    [
      'an algorithm of another key type',
      () => rawToken(rawHeader({ alg: 'RS256' }), JSON.stringify(ear())),
      ['algorithm_not_allowed', 'signature_invalid'],
    ],
    ['es256', () => rawToken(rawHeader({ alg: 'es256' }), JSON.stringify(ear())), ['algorithm_not_allowed', 'signature_invalid']],
    [
      'a list of algorithms',
      () => rawToken(rawHeader({ alg: ['ES256'] }), JSON.stringify(ear())),
      ['algorithm_not_allowed', 'signature_invalid'],
    ],
  ])('alg: %s', async (_, token, reasons) => expect(await reasonsOf(token())).toEqual(reasons));

  test('a weak or foreign pinned key is no key', async () => {
    for (const wrong of [bytes('{'), bytes({ kty: 'oct', k: 'AAAA' }), bytes(makeKey('short', 'RS256', 1024).jwk), bytes('[]')]) {
      expect(await reasonsOf(honest, { companions: { key: wrong } })).toContain('no_trusted_key');
    }
  });
});

const root = await issue({ name: 'root', extensions: [ca(), certSign] });
const middle = await issue({ name: 'middle', issuer: root, extensions: [ca(0), certSign] });
const publicKey = await webcrypto.subtle.importKey('jwk', KEY.jwk as webcrypto.JsonWebKey, { name: 'ECDSA', namedCurve: 'P-256' }, true, [
  'verify',
]);
const leafWith = (over: Partial<Parameters<typeof issue>[0]> = {}) =>
  issue({ name: 'leaf', issuer: middle, publicKey, extensions: [notCa], ...over });
const leaf = await leafWith();

describe('a chain in the header', () => {
  const x5c = (...chain: Array<{ der: Uint8Array }>) => ({ x5c: chain.map(({ der }) => toBase64(der)) });
  const roots = [{ name: 'gcp-confidential-space-root-ca', vendor: 'google', certificate: root.der }] as const;
  const pinned = { companions: {}, roots };
  const space = (over: JWTPayload = {}): JWTPayload => ({ iss: GCP, iat: at(-5), exp: at(300), dbgstat: 'disabled-since-boot', ...over });

  test('counts when it leads to the pinned root, with or without a copy of the root', async () => {
    expect(await reasonsOf(tokenOf(space(), x5c(leaf, middle, root)), pinned)).toEqual([]);
    expect(await examine(tokenOf(space(), x5c(leaf, middle)), pinned)).toMatchObject({
      valid: true,
      claims: { key_source: 'x5c header to a pinned root' },
    });
  });

  test('does not count under a root of the same name, under none, or under the root of something else', async () => {
    const lookalike = await issue({ name: 'root', extensions: [ca(), certSign] });
    const token = tokenOf(space(), x5c(leaf, middle, root));
    expect(await reasonsOf(token, { companions: {}, roots: [{ ...roots[0], certificate: lookalike.der }] })).toEqual(['untrusted_root']);
    expect(await reasonsOf(token, { companions: {}, roots: [] })).toEqual(['untrusted_root']);
    expect(await reasonsOf(token, { companions: {}, roots: [{ ...roots[0], name: 'google-ek-ak-ca-root' }] })).toEqual(['untrusted_root']);
  });

  test('is the word of its issuer alone', async () => {
    expect(await reasonsOf(tokenOf(ear({ iss: 'https://nras.attestation.nvidia.com' }), x5c(leaf, middle)), pinned)).toEqual([
      'issuer_not_allowed',
    ]);
    expect(await reasonsOf(tokenOf(ear(), x5c(leaf, middle)), pinned)).toEqual(['issuer_not_allowed']);
  });

  test('must be there for an issuer that is believed by it alone', async () => {
    expect(await reasonsOf(tokenOf(space(), { jwk: KEY.jwk }), pinned)).toEqual(['no_x5c']);
  });

  test.each<[string, () => Promise<Record<string, unknown>>, string[]]>([
    ['a link is missing', async () => x5c(leaf), ['untrusted_root']],
    ['the leaf is of another key', async () => x5c(await leafWith({ publicKey: root.keys.publicKey }), middle), ['signature_invalid']],
    [
      'the leaf has expired',
      async () => x5c(await leafWith({ notAfter: new Date('2026-01-01') }), middle),
      ['certificate_expired', 'untrusted_root'],
    ],
    [
      'the leaf is from the future',
      async () => x5c(await leafWith({ notBefore: new Date('2027-01-01') }), middle),
      ['certificate_not_yet_valid', 'untrusted_root'],
    ],
    [
      'the leaf has a critical extension nobody knows',
      async () => x5c(await leafWith({ extensions: [notCa, unknownCritical] }), middle),
      ['untrusted_root'],
    ],
    [
      'it was signed by a leaf',
      async () => x5c(await issue({ name: 'below', issuer: leaf, publicKey, extensions: [notCa] }), leaf, middle),
      ['untrusted_root'],
    ],
    ['a certificate is none', async () => ({ x5c: [toBase64(leaf.der), 'AAAA'] }), ['malformed', 'untrusted_root']],
    ['one is in URL-safe base64', async () => ({ x5c: [Buffer.from(leaf.der).toString('base64url')] }), ['malformed', 'untrusted_root']],
    ['there are seven', async () => x5c(leaf, ...Array.from({ length: 6 }, () => middle)), ['malformed', 'untrusted_root']],
    ['it is empty', async () => ({ x5c: [] }), ['no_x5c', 'malformed', 'untrusted_root']],
    ['it is a text', async () => ({ x5c: toBase64(leaf.der) }), ['malformed', 'untrusted_root']],
  ])('is refused when %s', async (_, header, reasons) => {
    expect(await reasonsOf(tokenOf(space(), await header()), pinned)).toEqual(reasons);
  });

  const pem = (...certificates: Array<{ der: Uint8Array }>) =>
    bytes(certificates.map(({ der }) => `-----BEGIN CERTIFICATE-----\n${toBase64(der)}\n-----END CERTIFICATE-----\n`).join(''));
  const jwk = { ...KEY.jwk, ...x5c(leaf, middle) };

  test('of a JWK makes it trusted when the leaf is of its key, whatever the order of the others', () => {
    const trusts = (one: object, trust: Uint8Array, now = NOW) => examineJwkTrust(inputs(one, { companions: { trust }, now })).reasons;
    expect(trusts(jwk, pem(root))).toEqual([]);
    expect(trusts({ ...KEY.jwk, ...x5c(leaf) }, pem(middle, root))).toEqual([]);
    expect(trusts({ ...makeKey('x').jwk, ...x5c(leaf, middle) }, pem(root))).toEqual(['untrusted_key']);
    expect(trusts(jwk, pem(middle))).toEqual(['untrusted_key']); // nobody's root
    expect(trusts(jwk, pem(leaf, middle))).toEqual(['untrusted_key']);
    expect(trusts(KEY.jwk, pem(root))).toEqual(['untrusted_key']);
    expect(trusts(jwk, pem(root), new Date('2041-01-01'))).toEqual(['untrusted_key']);
    expect(trusts(jwk, bytes('nothing'))).toEqual(['untrusted_key']);
    expect(examineJwkTrust(inputs('{', { companions: {} })).reasons).toEqual(['untrusted_key']);
  });

  test('of a key in the header counts under authorities that were given beside the token', async () => {
    const trusting = (trust: Uint8Array) => ({ companions: { trust } });
    expect(await reasonsOf(tokenOf(ear(), { jwk }), trusting(pem(root)))).toEqual([]);
    expect(await reasonsOf(tokenOf(ear(), x5c(leaf, middle)), trusting(pem(root)))).toEqual([]);
    expect(await reasonsOf(tokenOf(ear(), { jwk: KEY.jwk }), trusting(pem(root)))).toContain('no_x5c');
    expect(await reasonsOf(tokenOf(ear(), { jwk }), trusting(bytes('')))).toContain('untrusted_root');
  });
});

describe('when it counts', () => {
  test.each<readonly [string, object, string[]]>([
    ['no exp', { exp: undefined }, ['no_exp']],
    ['exp now', { exp: at(0) }, ['token_expired']],
    ['nbf in a second', { nbf: at(1) }, ['token_not_yet_valid']],
    ['iat in a second', { iat: at(1) }, ['token_issued_in_future']],
    ['exp that is text', { exp: '9999999999' }, ['no_exp', 'malformed']],
    ['exp before 1970', { exp: -1 }, ['malformed', 'token_expired']],
    ['nbf in the year 10000', { nbf: 253_402_300_800 }, ['malformed']],
    ['everything at once', { exp: at(-10), nbf: at(10), iat: at(10) }, ['token_expired', 'token_not_yet_valid', 'token_issued_in_future']],
  ])('%s', async (_, claims, reasons) => expect(await reasonsOf(tokenOf(ear(claims)))).toEqual(reasons));

  test('nbf and iat now are good, and a token without either is', async () => {
    expect(await reasonsOf(tokenOf(ear({ nbf: at(0), iat: at(0) })))).toEqual([]);
    expect(await reasonsOf(tokenOf(ear({ iat: undefined })))).toEqual([]);
  });

  test('what the manifest asks for must be there', async () => {
    const asked = (parameters: Record<string, unknown>) =>
      reasonsOf(tokenOf(ear({ eat_nonce: ['a', 'b'], aud: 'us', iss: 'they' })), { parameters });
    expect(await asked({ expected_nonce: 'b', expected_audience: 'us', expected_issuer: 'they' })).toEqual([]);
    expect(await asked({ expected_nonce: 'c' })).toEqual(['nonce_mismatch']);
    expect(await asked({ expected_nonce: 7 })).toEqual(['nonce_mismatch']);
    expect(await asked({ expected_audience: 'them' })).toEqual(['audience_mismatch']);
    expect(await asked({ expected_issuer: 'us' })).toEqual(['issuer_not_allowed']);
    expect(await asked({ expected_nonce: null })).toEqual([]);
  });

  const trustAuthority = { attester_type: 'TDX', attester_tcb_status: 'UpToDate' };
  const azure = { 'x-ms-attestation-type': 'sevsnpvm' };
  test.each<readonly [string | undefined, object, boolean]>([
    ['Intel Trust Authority', trustAuthority, true],
    ['https://portal.eu.trustauthority.intel.com', trustAuthority, true],
    ['https://portal.trustauthority.intel.com.evil.example', trustAuthority, false],
    [undefined, trustAuthority, false],
    ['https://sharedeus2.eus2.attest.azure.net', azure, true],
    ['https://evil-attest.azure.net', azure, false],
    ['https://x.attest.azure.net.evil.example', azure, false],
    [GCP, { swname: 'CONFIDENTIAL_SPACE' }, true],
    [`${GCP}/`, { swname: 'CONFIDENTIAL_SPACE' }, false],
  ])('issued by %s, where one alone issues such tokens: %j %s', async (iss, claims, fits) => {
    expect(await reasonsOf(tokenOf({ ...(iss && { iss }), exp: at(300), ...claims }))).toEqual(fits ? [] : ['issuer_not_allowed']);
  });

  test('of a service with a staging, the one for production is asked for, unless the manifest says otherwise', async () => {
    const iss = 'https://nras.attestation-stg.nvidia.com';
    const staging = await tokenOf({ iss, exp: at(300), 'x-nvidia-overall-att-result': true, submods: {} });
    expect(await examine(staging)).toMatchObject({ valid: false, reasons: ['issuer_not_allowed'], claims: { product: 'NVIDIA H100' } });
    expect(await reasonsOf(staging, { parameters: { expected_issuer: iss } })).toEqual([]);
  });
});

describe('genuine is not acceptable', () => {
  const part = (status: unknown) => ({ submods: { cpu0: { 'ear.status': 'affirming' }, gpu0: { 'ear.status': status } } });
  test.each<readonly [string, object, string[]]>([
    ['one part warns', part('warning'), ['ear_warning']],
    ['one part is contraindicated', part('contraindicated'), ['ear_contraindicated']],
    ['one part is contraindicated, in numbers', part(96), ['ear_contraindicated']],
    ['one part says none', part('none'), ['ear_none']],
    ['one part says what nobody knows', part('splendid'), ['ear_none']],
    ['one part says nothing', part(undefined), ['ear_none']],
    ['there is no part', { submods: {} }, ['ear_none']],
    ['it is nobody known', { eat_profile: 'tag:example.com', submods: {} }, ['claims_not_understood']],
    [
      'it is nobody known, and says no itself',
      { eat_profile: 'tag:example.com', submods: { gpu0: { 'ear.status': 96 }, nothing: [] } },
      ['ear_contraindicated', 'ear_none'],
    ],
    ['debugging is on', { dbgstat: 'enabled' }, ['debug_enabled']],
    ['a debug status nobody knows', { dbgstat: 'sometimes' }, ['debug_enabled']],
    [
      'Trust Authority: out of date',
      { iss: 'Intel Trust Authority', attester_tcb_status: 'OutOfDate', eat_profile: undefined },
      ['tcb_out_of_date'],
    ],
    [
      'Trust Authority: out of date, as of old',
      { iss: 'Intel Trust Authority', attester_tcb_status: 'OUT_OF_DATE', eat_profile: undefined },
      ['tcb_out_of_date'],
    ],
    [
      'Trust Authority: revoked',
      { iss: 'Intel Trust Authority', attester_tcb_status: 'Revoked', eat_profile: undefined },
      ['tcb_out_of_date', 'tcb_not_current'],
    ],
    [
      'Trust Authority: nested, debuggable',
      {
        iss: 'Intel Trust Authority',
        tdx: { attester_tcb_status: 'UpToDate', tdx_is_debuggable: true },
        verifier_instance_ids: [],
        eat_profile: undefined,
      },
      ['debug_enabled'],
    ],
    [
      'Trust Authority: out of date and debuggable, as Project Amber said it',
      {
        iss: 'AS Attestation Token Issuer',
        eat_profile: undefined,
        amber_evidence_type: 'SGX',
        amber_tcb_status: 'OUT_OF_DATE',
        amber_sgx_is_debuggable: true,
      },
      ['tcb_out_of_date', 'debug_enabled'],
    ],
    ['NRAS: it failed', { iss: 'https://nras.attestation.nvidia.com', 'x-nvidia-overall-att-result': false }, ['attestation_failed']],
    ['NRAS: measurements differ', { iss: 'https://nras.attestation.nvidia.com', measres: 'fail' }, ['attestation_failed']],
    [
      'CoCo: a policy did not allow',
      { iss: 'CoCo-Attestation-Service', eat_profile: undefined, 'evaluation-reports': [{ 'evaluation-result': '{"allow":false}' }] },
      ['policy_denied'],
    ],
  ])('%s', async (_, claims, reasons) => {
    expect(await examine(tokenOf(ear(claims)))).toMatchObject({ valid: true, accept: false, reasons });
  });
});

test('the CoCo service names the policies that allowed, and in its first version each result', async () => {
  const coco = (over: object) => examine(tokenOf({ iss: 'CoCo-Attestation-Service', exp: at(300), ...over }));
  const named = { 'policy-id': 'default', 'policy-hash': '00' };
  expect(await coco({ 'evaluation-reports': [named], 'tcb-status': 'x'.repeat(300) })).toMatchObject({
    accept: true,
    claims: { product: 'CoCo attestation service', tcb: 'x'.repeat(200) },
  });
  const allowed = { ...named, 'evaluation-result': '{"allow":true}' };
  const status = { 'sgx.body.isv_svn': '0000', list: [1, true, null] };
  expect(await coco({ 'evaluation-reports': [allowed], 'tcb-status': status })).toMatchObject({
    accept: true,
    claims: { tcb: "{'sgx.body.isv_svn': '0000', 'list': [1, True, None]}" },
  });
  for (const wrong of [{}, 7, { ...named, 'evaluation-result': null }]) {
    expect((await coco({ 'evaluation-reports': [allowed, wrong] })).reasons).toEqual(['policy_denied']);
  }
});

describe('a detached EAT', () => {
  const nras = (over: object): JWTPayload => ({
    iss: 'https://nras.attestation.nvidia.com',
    iat: at(-5),
    exp: at(300),
    eat_nonce: 'aa',
    ...over,
  });
  const digest = (token: string) => ['DIGEST', ['SHA-256', createHash('sha256').update(token).digest('hex')]];
  const bundle = (overall: string, parts: object) => JSON.stringify([['JWT', overall], parts]);

  test('holds together by digests: each part signed, each named, none besides', async () => {
    const gpu = await tokenOf(nras({ hwmodel: 'GH100 A01', measres: 'success' }));
    const overall = await tokenOf(nras({ 'x-nvidia-overall-att-result': true, submods: { 'GPU-0': digest(gpu) } }));
    expect(await examine(bundle(overall, { 'GPU-0': gpu }))).toMatchObject({
      valid: true,
      accept: true,
      claims: { submods: { 'GPU-0': { product: 'NVIDIA H100' } } },
    });
    const other = await tokenOf(nras({ hwmodel: 'GH100 A01', measres: 'success', jti: '2' }));
    expect(await reasonsOf(bundle(overall, { 'GPU-0': other }))).toEqual(['submod_digest_mismatch']);
    expect(await reasonsOf(bundle(overall, {}))).toEqual(['submod_digest_mismatch']);
    expect(await reasonsOf(bundle(overall, { 'GPU-0': gpu, 'GPU-1': gpu }))).toEqual(['submod_digest_mismatch']);
    const stale = await tokenOf(nras({ hwmodel: 'GH100 A01', eat_nonce: 'bb' }));
    const mixed = await tokenOf(nras({ submods: { 'GPU-0': digest(stale) } }));
    expect(await reasonsOf(bundle(mixed, { 'GPU-0': stale }))).toEqual(['nonce_mismatch']);
    const failed = await tokenOf(nras({ measres: 'fail' }));
    const said = await tokenOf(nras({ 'x-nvidia-overall-att-result': true, submods: { 'GPU-0': digest(failed) } }));
    expect(await examine(bundle(said, { 'GPU-0': failed }))).toMatchObject({ valid: true, accept: false, reasons: ['attestation_failed'] });
  });

  test.each([
    '[',
    '[]',
    '[["JWT"],{}]',
    '[["JWT","a.b.c"],{"GPU-0":7}]',
    '[["JWT","a.b.c"],{},1]',
    '[["CWT","a.b.c"],{}]',
    `${'['.repeat(60_000)}`,
  ])('that is none is malformed: %.30s', async (text) => expect(await reasonsOf(text)).toContain('malformed'));
});

describe('whatever the bytes', () => {
  test.each([
    ['nothing', ''],
    ['two parts', 'a.b'],
    ['four parts', `${honest}.a`],
    ['a blank in front', ` ${honest}`],
    ['two line ends behind', `${honest}\n\n`],
    ['64 KiB and more', `${honest}${'A'.repeat(65_536)}`],
    ['a header that is a list', rawToken('[]', JSON.stringify(ear()))],
    ['a member twice in the claims', rawToken(rawHeader(), '{"exp":1,"exp":9999999999}')],
    ['crit', rawToken(rawHeader({ crit: ['exp'] }), JSON.stringify(ear()))],
    ['claims nested 17 deep', rawToken(rawHeader(), `{"a":${'['.repeat(17)}${']'.repeat(17)}}`)],
    ['a signature in its second spelling', `${honest.slice(0, -1)}${String.fromCharCode(honest.charCodeAt(honest.length - 1) + 1)}`],
  ])('%s: malformed', async (_, token) => {
    const { valid, reasons } = await examine(token);
    expect([valid, reasons.includes('malformed')]).toEqual([false, true]);
  });

  test('one line end behind a token in a file is none of it', async () => {
    expect(await reasonsOf(`${honest}\n`)).toEqual([]);
    expect(await reasonsOf(`${honest}\r\n`)).toEqual([]);
  });

  test('there is an answer to any text and any companions, and it is no', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 200 }),
        fc.string(),
        fc.uint8Array({ maxLength: 100 }),
        async (evidence, text, companion) => {
          for (const companions of [{ key: companion }, { jwks: companion }, { trust: companion }, {}]) {
            for (const one of [evidence, bytes(`${text}.${text}.${text}`), bytes(`[${text}`)]) {
              expect((await examineToken({ ...inputs(''), evidence: one, companions })).valid).toBe(false);
            }
          }
        },
      ),
    );
  });

  test('a flipped bit anywhere is never accepted', async () => {
    await flipEachByte(bytes(honest), 1, async (evidence, place) => {
      expect([place, (await examineToken({ ...inputs(''), evidence })).valid]).toEqual([place, false]);
    });
  });

  describeShared('real tokens', () => {
    const genuine = sharedEntries('jwt-eat').filter(({ expected }) => expected.valid);
    test.each(genuine.map((entry) => [entry.id, entry] as const))(
      '%s: every byte damaged, never authentic',
      async (_, entry) => {
        const given = inputsOf(entry);
        const accepted: number[] = [];
        await flipEachByte(given.evidence, 1, async (evidence, place) => {
          if ((await examineToken({ ...given, evidence })).valid) accepted.push(place);
        });
        expect(accepted).toEqual([]);
      },
      LONG_MS,
    );

    // A JWK is not signed: what counts is its key and the certificate about it. Names nobody reads and spare certificates may change.
    const trusted = sharedEntries('jwk-x5c-trust').filter(({ expected }) => expected.valid);
    test.each(trusted.map((entry) => [entry.id, entry] as const))(
      '%s: every byte damaged, never another key',
      async (_, entry) => {
        const given = inputsOf(entry);
        const keyIn = (evidence: Uint8Array) => {
          const {
            kty,
            n,
            e,
            x5c: [first] = [],
          } = JSON.parse(Buffer.from(evidence).toString('utf8')) as Record<string, string> & { x5c?: string[] };
          return { kty, n: Buffer.from(n ?? '', 'base64url').toString('hex'), e, first };
        };
        await flipEachByte(
          given.evidence,
          1,
          (evidence) => {
            if (examineJwkTrust({ ...given, evidence }).valid) expect(keyIn(evidence)).toEqual(keyIn(given.evidence));
          },
          3,
        );
      },
      LONG_MS,
    );
  });
});

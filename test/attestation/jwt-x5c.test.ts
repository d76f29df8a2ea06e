/** An issuer that is known by its certificates: the chain comes with each token, the root was put in force by two people. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { parseJwtEvidence } from '../../src/attestation/jwt/evidence.ts';
import type { KeySets } from '../../src/attestation/jwt/key-sets.ts';
import { createJwtVerifier, verifyToken } from '../../src/attestation/jwt/verifier.ts';
import { pinnedRoots } from '../../src/attestation/pinned-roots.ts';
import { anchorsVersion, trustAnchor, trustAnchorListV1 } from '../../src/documents/anchors.ts';
import { sha256Hex, toBase64 } from '../../src/domain/bytes.ts';
import { isRefusal, type JwtAnchor } from '../../src/domain/evidence.ts';
import { describeShared, inputsOf, sharedEntries } from './shared-evidence.ts';
import { ca, certSign, issue, notCa } from './test-ca.ts';
import { contextWith, honestClaims, KEY, makeKey, NONCE_ANCHOR, tokenOf } from './token-issuer.ts';

const offline: KeySets = { keysOf: () => Promise.reject(new Error('a key set was asked for')) };
const verifier = createJwtVerifier(offline);
const root = await issue({ name: 'root', extensions: [ca(), certSign] });
const other = await issue({ name: 'root', extensions: [ca(), certSign] });
const middle = await issue({ name: 'middle', issuer: root, extensions: [ca(0), certSign] });
const importKey = ({ jwk }: typeof KEY) =>
  webcrypto.subtle.importKey('jwk', { ...jwk } as webcrypto.JsonWebKey, { name: 'ECDSA', namedCurve: jwk.crv ?? '' }, true, ['verify']);
const leafOf = async (key = KEY, over: Partial<Parameters<typeof issue>[0]> = {}) =>
  issue({ name: 'leaf', issuer: middle, publicKey: await importKey(key), extensions: [notCa], ...over });
const leaf = await leafOf();
const x5c = (...chain: Array<{ der: Uint8Array }>) => ({ x5c: chain.map(({ der }) => toBase64(der)) });

const { jwks: _, ...bare } = NONCE_ANCHOR;
const anchor: JwtAnchor = { ...bare, x5cRoots: [toBase64(root.der)] };
async function codeOf(token: Promise<string>, over: Partial<JwtAnchor> = {}): Promise<string> {
  const answer = await verifier.verify({ token: await token }, contextWith({ ...anchor, ...over }));
  return isRefusal(answer) ? answer.code : 'verified';
}
const claims = honestClaims();

describe('a token of an issuer with x5cRoots', () => {
  test('is verified by the leaf of a chain to that root, and no key set is asked', async () => {
    expect(await codeOf(tokenOf(claims, x5c(leaf, middle)))).toBe('verified');
    expect(await codeOf(tokenOf(claims, x5c(leaf, middle, root)))).toBe('verified');
  });

  test('says what its word stood on: the certificates on the way, and no other that came along', async () => {
    const answer = await verifier.verify({ token: await tokenOf(claims, x5c(leaf, middle, other)) }, contextWith(anchor));
    if (isRefusal(answer)) throw new Error(answer.detail);
    const digests = [leaf, middle, root].map(({ der }) => sha256Hex(der));
    expect(answer.endorsements?.map(({ digest }) => digest)).toEqual(digests);
    expect(answer.endorsements?.map(({ what }) => what)).toEqual(['token signer', 'issuer of the token signer', 'root of the issuer']);
  });

  test.each<[string, Promise<string>, string]>([
    ['brings no chain', tokenOf(claims), 'endorsement_untrusted'],
    ['brings a chain that ends early', tokenOf(claims, x5c(leaf)), 'endorsement_untrusted'],
    ['brings a key beside its chain', tokenOf(claims, { ...x5c(leaf, middle), jwk: KEY.jwk }), 'evidence_malformed'],
    ['brings an address beside its chain', tokenOf(claims, { ...x5c(leaf, middle), jku: 'https://issuer.test' }), 'evidence_malformed'],
    ['is signed by another key than its leaf', tokenOf(claims, x5c(leaf, middle), makeKey('thief')), 'evidence_signature_invalid'],
    [
      'has a leaf on another curve',
      leafOf(makeKey('p384', 'ES384')).then((one) => tokenOf(claims, x5c(one, middle))),
      'endorsement_untrusted',
    ],
    [
      'has a leaf that has expired',
      leafOf(KEY, { notAfter: new Date('2026-01-01') }).then((one) => tokenOf(claims, x5c(one, middle))),
      'evidence_expired',
    ],
    ['has something else in x5c', tokenOf(claims, { x5c: ['AAAA'] }), 'endorsement_untrusted'],
  ])('is refused when it %s', async (_, token, code) => expect(await codeOf(token)).toBe(code));

  test('is refused under a root of the same name', async () => {
    expect(await codeOf(tokenOf(claims, x5c(leaf, middle, root)), { x5cRoots: [toBase64(other.der)] })).toBe('endorsement_untrusted');
  });

  test('the chain counts for nothing at an issuer that has a key set', async () => {
    const { x5cRoots: __, ...keyed } = anchor;
    const answer = async (over: Partial<JwtAnchor>) =>
      verifier.verify({ token: await tokenOf(claims, x5c(leaf, middle)) }, contextWith({ ...keyed, ...over }));
    expect(await answer({ jwks: { keys: [KEY.jwk] } })).toMatchObject({ code: 'evidence_malformed' });
    expect(await answer({ jwks: { keys: [makeKey('key-1').jwk] }, headerKeys: 'ignored' })).toMatchObject({
      code: 'evidence_signature_invalid',
    });
  });
});

describeShared('a real token of GCP Confidential Space', () => {
  const entry = sharedEntries('jwt-eat').find(({ id }) => id === 'jwt/gcp-cs-2025-09');
  const google = pinnedRoots().find(({ name }) => name === 'gcp-confidential-space-root-ca');

  test("is its issuer's word under the shipped root, and an hour later no more", async () => {
    if (entry === undefined || google === undefined) throw new Error('the vectors and the roots have both');
    const token = parseJwtEvidence({ token: Buffer.from(inputsOf(entry).evidence).toString('utf8').trim() });
    if (isRefusal(token)) throw new Error(token.detail);
    const issuer = 'https://confidentialcomputing.googleapis.com';
    const space: JwtAnchor = { ...anchor, issuer, audience: undefined, algorithms: ['RS256'], x5cRoots: [toBase64(google.certificate)] };
    const answer = (at: string) => verifyToken(token, { anchors: [space], now: new Date(at) }, offline);
    expect(isRefusal(await answer(entry.expected.at))).toBe(false);
    expect(await answer('2025-09-05T10:17:30Z')).toMatchObject({ code: 'evidence_expired' });
  });
});

describe('the anchor', () => {
  const accepts = (value: object) => trustAnchor.safeParse(value).success;

  test('has one of jwks, jwksUrl and x5cRoots', () => {
    expect(accepts(anchor)).toBe(true);
    expect(accepts(bare)).toBe(false);
    expect(accepts({ ...anchor, jwks: { keys: [KEY.jwk] } })).toBe(false);
    expect(accepts({ ...anchor, jwksUrl: 'https://issuer.test/keys' })).toBe(false);
    expect(accepts({ ...anchor, x5cRoots: [] })).toBe(false);
    expect(accepts({ ...anchor, x5cRoots: [toBase64(new Uint8Array(10))] })).toBe(false);
    expect(accepts({ ...anchor, jwksCa: 'x' })).toBe(false);
  });

  test('makes the document one of version 2: a vault of before would not understand it', () => {
    expect(anchorsVersion([anchor])).toBe(2);
    expect(anchorsVersion([NONCE_ANCHOR])).toBe(1);
    expect(trustAnchorListV1.safeParse([anchor]).success).toBe(false);
  });
});

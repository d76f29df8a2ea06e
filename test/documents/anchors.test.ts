/** Trust anchors and reference values: what two people can sign, and what no signature makes acceptable. */
import { describe, expect, test } from '@jest/globals';
import { trustAnchor, trustAnchorList } from '../../src/documents/anchors.ts';
import { referenceValue } from '../../src/documents/reference-values.ts';
import type { JwtAnchor } from '../../src/domain/evidence.ts';
import { issueSelfSigned } from '../../src/identity/certificates.ts';
import { KEY, makeKey, NONCE_ANCHOR } from '../attestation/token-issuer.ts';

const accepts = (over: object) => trustAnchor.safeParse({ ...NONCE_ANCHOR, ...over }).success;
const { jwks: _jwks, ...published } = NONCE_ANCHOR;
const keySet = (...keys: unknown[]) => ({ jwks: { keys } });

describe('an issuer of tokens', () => {
  test('with its keys, or with the address of its keys', async () => {
    const { certificatePem } = await issueSelfSigned({ commonName: 'ca', days: 1, now: new Date() });
    expect(accepts({})).toBe(true);
    const at = { ...published, jwksUrl: 'https://issuer.test:8443/keys?v=1' };
    expect(trustAnchor.safeParse(at).success).toBe(true);
    expect(trustAnchor.safeParse({ ...at, jwksCa: certificatePem }).success).toBe(true);
    for (const jwksCa of ['', 'PEM', certificatePem.slice(0, 200)]) expect(trustAnchor.safeParse({ ...at, jwksCa }).success).toBe(false);
  });

  test('not with both, nor with neither, nor with an authority for nothing', () => {
    expect(accepts({ jwksUrl: 'https://issuer.test/keys' })).toBe(false);
    expect(trustAnchor.safeParse(published).success).toBe(false);
    expect(accepts({ jwksCa: 'x' })).toBe(false);
  });

  test.each([
    'http://issuer.test/keys',
    'HTTPS://issuer.test/keys',
    'file:///etc/passwd',
    'https://user:password@issuer.test/keys',
    'https://issuer.test/keys#part',
    'issuer.test/keys',
    'https://',
    `https://issuer.test/${'x'.repeat(1024)}`,
  ])('not with keys at %s', (jwksUrl) => expect(trustAnchor.safeParse({ ...published, jwksUrl }).success).toBe(false));

  test.each<[string, object]>([
    ['no algorithm', { algorithms: [] }],
    ['none', { algorithms: ['none'] }],
    ['an HMAC', { algorithms: ['ES256', 'HS256'] }],
    ['an algorithm that is none', { algorithms: ['constructor'] }],
    ['a key that none of its algorithms uses', { algorithms: ['RS256'] }],
    ['no key', keySet()],
    ['a private key', keySet({ ...KEY.privateKey.export({ format: 'jwk' }) })],
    ['a point off its curve', keySet({ ...KEY.jwk, y: KEY.jwk.x })],
    ['a secret', keySet({ kty: 'oct', k: 'AAAA' })],
    ['a key for encryption', keySet({ ...KEY.jwk, use: 'enc' })],
    ['a key with a certificate', keySet({ ...KEY.jwk, x5c: ['AAAA'] })],
    ['RSA of 1024 bits', { ...keySet(makeKey('short', 'RS256', 1024).jwk), algorithms: ['RS256'] }],
    ['an unknown member', { jku: 'https://issuer.test/keys' }],
    ['an empty issuer', { issuer: '' }],
    ['an issuer that is not in its normal form', { issuer: 'https://e\u0301.test' }],
    ['an issuer with a control character', { issuer: 'https://issuer.test\u0000' }],
    ['neither audience nor nonce', { audience: undefined, nonceClaim: undefined }],
    ['an empty nonce claim', { nonceClaim: [] }],
    ['a path of nine', { nonceClaim: Array.from({ length: 9 }, () => 'a') }],
    ['a claim called like a tag', { claims: { 'a=b': ['a'] } }],
    ['thirty-three claims', { claims: Object.fromEntries(Array.from({ length: 33 }, (_, at) => [`c${at}`, ['a']])) }],
    ['a TEE that is no hardware', { tee: true }],
    ['hardware: false, which absence says', { hardware: false }],
    ['header keys that are believed', { headerKeys: 'trusted' }],
    ['an age of nothing', { maxAgeSeconds: 0 }],
  ])('not with %s', (_what, over) => expect(accepts(over)).toBe(false));

  test('a claim called __proto__ is none: it is not there any more when two people are asked', () => {
    const claims = JSON.parse('{"__proto__": ["role"], "image": ["image"]}');
    expect(trustAnchor.parse({ ...NONCE_ANCHOR, claims })).toMatchObject({ claims: { image: ['image'] } });
    expect(Object.keys((trustAnchor.parse({ ...NONCE_ANCHOR, claims }) as JwtAnchor).claims)).toEqual(['image']);
  });

  test('once in a list: two anchors for one issuer would leave it open what its tokens mean', () => {
    const other = { ...NONCE_ANCHOR, issuer: `${NONCE_ANCHOR.issuer}/` };
    expect(trustAnchorList.safeParse([NONCE_ANCHOR, other]).success).toBe(true);
    expect(trustAnchorList.safeParse([NONCE_ANCHOR, { ...other, issuer: NONCE_ANCHOR.issuer }]).success).toBe(false);
  });
});

describe('a reference value for tokens', () => {
  const value = { id: 'golden', kind: 'jwt', issuer: NONCE_ANCHOR.issuer, claims: { image: ['sha256:aa'] } };
  test('names an issuer and accepted texts', () => expect(referenceValue.safeParse(value).success).toBe(true));
  test.each<[string, object]>([
    ['without issuer', { issuer: undefined }],
    ['with a claim without values', { claims: { image: [] } }],
    ['with a value that is no text', { claims: { image: [7] } }],
    ['with PCRs', { pcrs: {} }],
    ['of a kind that does not exist', { kind: 'nitro' }],
    ['with a claim that no anchor can map', { claims: { Image: ['x'] } }],
  ])('not %s', (_what, over) => expect(referenceValue.safeParse({ ...value, ...over }).success).toBe(false));
});

/** Tiers 2 and 3 of the wrapped blob, and what a KMS makes: their bytes, their bounds, and the context inside. */
import { constants, createDecipheriv, createPrivateKey, privateDecrypt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { fromHex, sha256, toHex } from '../../src/domain/bytes.ts';
import { bindSecret, unbindSecret } from '../../src/keys/bound-secret.ts';
import { decodeWrappedKey, encodeWrappedKey, type WrappedKey } from '../../src/keys/wrapped-key.ts';

const read = (name: string) => JSON.parse(readFileSync(new URL(`../vectors/keys/${name}`, import.meta.url), 'utf8'));
const first = read('wrapped-key.json');
const vector = read('wrapped-key-tiers.json');
const malformed = vector.malformed as ReadonlyArray<{ why: string; cborHex: string }>;
const aad = fromHex(first.dekWrapAadHex);
const dek = fromHex(first.dekHex);
const refused = expect.objectContaining({ code: 'key_unwrap_refused' });

const blob = (more: Pick<WrappedKey, 'tier' | 'bytes'>, provider = 'pkcs11'): WrappedKey => {
  return { v: 1, provider, kek: first.kek, iv: new Uint8Array(0), aadDigest: sha256(aad), ...more };
};
const known: ReadonlyArray<readonly [string, WrappedKey, string]> = [
  ['tier 2', blob({ tier: 2, bytes: fromHex(vector.tier2.bytesHex) }), vector.tier2.cborHex],
  ['tier 3', blob({ tier: 3, bytes: fromHex(vector.tier3.bytesHex) }), vector.tier3.cborHex],
  ['aws-kms', blob({ tier: 1, bytes: fromHex(vector.awsKms.bytesHex) }, 'aws-kms'), vector.awsKms.cborHex],
];

describe('a blob', () => {
  test.each(known)('of %s has the bytes of the vector, both ways', (_, value, cborHex) => {
    expect(toHex(encodeWrappedKey(value))).toBe(cborHex);
    expect(decodeWrappedKey(fromHex(cborHex))).toEqual(value);
  });

  test.each(known)('of %s is refused when cut anywhere', (_, __, cborHex) => {
    const whole = fromHex(cborHex);
    for (let length = 0; length < whole.length; length++) expect(() => decodeWrappedKey(whole.slice(0, length))).toThrow(refused);
  });

  test.each(malformed)('is refused: $why', ({ cborHex }) => {
    expect(() => decodeWrappedKey(fromHex(cborHex))).toThrow(refused);
  });
});

describe('what is wrapped in tiers 2 and 3', () => {
  test('is the secret and the digest of its context', () => {
    expect(toHex(bindSecret(dek, aad))).toBe(vector.boundHex);
  });

  test('comes out of plain RFC 5649 and plain RSA-OAEP', () => {
    const kwp = createDecipheriv('id-aes256-wrap-pad', fromHex(first.kekBytesHex), Buffer.from('a65959a6', 'hex'));
    const inner = Buffer.concat([kwp.update(fromHex(vector.tier2.bytesHex)), kwp.final()]);
    expect(toHex(unbindSecret(new Uint8Array(inner), aad))).toBe(first.dekHex);
    const key = createPrivateKey({ key: Buffer.from(vector.tier3.privateKeyPkcs8Hex, 'hex'), format: 'der', type: 'pkcs8' });
    const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };
    const opened = privateDecrypt({ key, ...padding }, fromHex(vector.tier3.bytesHex));
    expect(toHex(unbindSecret(new Uint8Array(opened), aad))).toBe(first.dekHex);
  });

  test('is refused when its context is another one, in any bit, and leaves nothing in the buffer', () => {
    const kwp = createDecipheriv('id-aes256-wrap-pad', fromHex(first.kekBytesHex), Buffer.from('a65959a6', 'hex'));
    const inner = new Uint8Array(Buffer.concat([kwp.update(fromHex(vector.tier2OfAnotherContext.bytesHex)), kwp.final()]));
    expect(() => unbindSecret(inner, aad)).toThrow(refused);
    expect(inner.every((byte) => byte === 0)).toBe(true);
    for (let bit = 0; bit < 256; bit++) {
      const bound = bindSecret(dek, aad);
      bound[32 + (bit >> 3)] = (bound[32 + (bit >> 3)] ?? 0) ^ (1 << (bit & 7));
      expect(() => unbindSecret(bound, aad)).toThrow(refused);
    }
  });

  test.each([0, 31, 32, 47, 97])('is refused when it is %i bytes: no 16 to 64 secret bytes and a digest', (length) => {
    const bound = new Uint8Array(length);
    bound.set(sha256(aad).slice(0, Math.min(32, length)), Math.max(0, length - 32));
    expect(() => unbindSecret(bound, aad)).toThrow(refused);
  });
});

import { createDecipheriv } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { fromHex, lp, sha256, toHex } from '../../src/domain/bytes.ts';
import type { AdministratorId, KeyId, ModelId, Namespace, VaultId, VersionId } from '../../src/domain/ids.ts';
import { aadDigest, decodeWrappedKey, dekWrapAad, encodeWrappedKey, totpSeedAad, type WrappedKey } from '../../src/keys/wrapped-key.ts';

const vector = JSON.parse(readFileSync(new URL('../vectors/keys/wrapped-key.json', import.meta.url), 'utf8'));
const malformed = vector.malformed as ReadonlyArray<{ why: string; cborHex: string }>;
const context = {
  vaultId: vector.ids.vaultId as VaultId,
  namespace: vector.ids.namespace as Namespace,
  modelId: vector.ids.modelId as ModelId,
  versionId: vector.ids.versionId as VersionId,
};
const known: WrappedKey = {
  v: 1,
  tier: 1,
  provider: 'pkcs11',
  kek: vector.kek,
  iv: fromHex(vector.wrapped.ivHex),
  bytes: fromHex(vector.wrapped.bytesHex),
  aadDigest: fromHex(vector.wrapped.aadDigestHex),
};

describe('the wrap AAD', () => {
  test('has the bytes of the vector, for a DEK and for a TOTP seed', () => {
    expect(toHex(dekWrapAad(context, vector.kek))).toBe(vector.dekWrapAadHex);
    const { vaultId, administratorId, authenticatorId } = vector.ids;
    expect(toHex(totpSeedAad(vaultId, administratorId as AdministratorId, authenticatorId, vector.kek))).toBe(vector.totpSeedAadHex);
  });

  test('is another one when any single part is another', () => {
    const other = 'other';
    const all = [
      dekWrapAad(context, vector.kek),
      ...(['vaultId', 'namespace', 'modelId', 'versionId'] as const).map((part) => dekWrapAad({ ...context, [part]: other }, vector.kek)),
      dekWrapAad(context, { ...vector.kek, id: other }),
      dekWrapAad(context, { ...vector.kek, version: 4 }),
    ].map(toHex);
    expect(new Set(all).size).toBe(all.length);
  });

  test('cannot be the same for parts that are cut elsewhere', () => {
    const part = fc.string({ minLength: 0, maxLength: 6, unit: fc.constantFrom('a', 'b', '\0', '/') });
    const parts = fc.tuple(part, part, part, part, part);
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        const same = a.every((text, at) => text === b[at]);
        expect(toHex(aadOf(a)) === toHex(aadOf(b))).toBe(same);
      }),
    );
  });
});

describe('the wrapped blob', () => {
  test('has the bytes of the vector, both ways', () => {
    expect(toHex(encodeWrappedKey(known))).toBe(vector.cborHex);
    expect(decodeWrappedKey(fromHex(vector.cborHex))).toEqual(known);
  });

  test('opens with plain AES-256-GCM under the AAD, and its digest is of that AAD', () => {
    const aad = fromHex(vector.dekWrapAadHex);
    const decipher = createDecipheriv('aes-256-gcm', fromHex(vector.kekBytesHex), known.iv);
    decipher.setAAD(aad).setAuthTag(known.bytes.subarray(-16));
    const dek = Buffer.concat([decipher.update(known.bytes.subarray(0, -16)), decipher.final()]);
    expect(dek.toString('hex')).toBe(vector.dekHex);
    expect(toHex(aadDigest(aad))).toBe(vector.wrapped.aadDigestHex);
  });

  test.each(malformed)('is refused: $why', ({ cborHex }) => {
    expect(() => decodeWrappedKey(fromHex(cborHex))).toThrow(expect.objectContaining({ code: 'key_unwrap_refused' }));
  });

  test('is refused when cut anywhere', () => {
    const whole = fromHex(vector.cborHex);
    for (let length = 0; length < whole.length; length++)
      expect(() => decodeWrappedKey(whole.slice(0, length))).toThrow('key_unwrap_refused');
  });

  test('survives encoding, whatever it holds, and has one encoding only', () => {
    const bytes = (minLength: number, maxLength = minLength) => fc.uint8Array({ minLength, maxLength });
    const blobs = fc.record({
      kekId: fc.stringMatching(/^[a-z0-9]{1,64}$/),
      version: fc.integer({ min: 1, max: 2 ** 31 }),
      iv: bytes(12),
      bytes: bytes(32, 80),
      digest: bytes(32),
    });
    fc.assert(
      fc.property(blobs, ({ kekId, version, iv, bytes: sealed, digest }) => {
        const blob: WrappedKey = { ...known, kek: { id: kekId as KeyId, version }, iv, bytes: sealed, aadDigest: digest };
        const encoded = encodeWrappedKey(blob);
        expect(decodeWrappedKey(encoded)).toEqual(blob);
        expect(encodeWrappedKey(decodeWrappedKey(encoded))).toEqual(encoded);
      }),
    );
  });

  test('never comes out of random bytes as anything but a refusal', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
        expect(() => decodeWrappedKey(noise)).toThrow('key_unwrap_refused');
      }),
    );
  });

  test('the digest of an AAD is SHA-256', () => {
    expect(aadDigest(lp('x'))).toEqual(sha256(lp('x')));
  });
});

function aadOf(parts: readonly string[]): Uint8Array {
  const [vaultId, namespace, modelId, versionId, id] = parts as [VaultId, Namespace, ModelId, VersionId, KeyId]; // any text will do here
  return dekWrapAad({ vaultId, namespace, modelId, versionId }, { id, version: 1 });
}

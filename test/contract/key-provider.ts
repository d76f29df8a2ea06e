/** What every KeyProvider must do (src/keys/port.ts). A new provider calls this with a way to make itself and what it can do, and passes. */

import { createPublicKey } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { sha256, utf8 } from '../../src/domain/bytes.ts';
import type { ErrorCode } from '../../src/domain/errors.ts';
import type { KeyId, ModelId, Namespace, VaultId, VersionId } from '../../src/domain/ids.ts';
import type { WrapTier } from '../../src/domain/kek-wrap.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import { type SignatureAlgorithm, signatureAlgorithmOf, verifySignature } from '../../src/domain/signature.ts';
import type { KeyProvider, KeyRef } from '../../src/keys/port.ts';
import { decodeWrappedKey, dekWrapAad, encodeWrappedKey, type WrappedKey } from '../../src/keys/wrapped-key.ts';

export interface MadeKeyProvider {
  readonly provider: KeyProvider;
  /** Wraps per property run, and altered bytes tried: a slow provider is asked less often. */
  readonly runs?: number;
  /** Operations asked for at once; 100 when absent. */
  readonly atOnce?: number;
  /** Removes what `make` made, after `provider.close()`. */
  readonly cleanUp?: () => Promise<void>;
}

/** What a provider is there to do; what it cannot, it must refuse with a clear word. */
export interface Capabilities {
  readonly tier?: WrapTier;
  /** `none`: it has no signature we believe, so it makes no signing key. */
  readonly algorithm?: SignatureAlgorithm | 'none';
  /** A destroyed key is kept for a while, unusable, and its administrator can bring it back. */
  readonly keepsDestroyed?: boolean;
}

const ALGORITHMS: Readonly<Record<WrapTier, RegExp>> = { 1: /^AES-256-GCM$/, 2: /^AES-256-KWP$/, 3: /^RSA-(2048|3072)-OAEP-SHA-256$/ };

const ref = (id: string, version = 1): KeyRef => ({ id: id as KeyId, version });
const secretOf = (bytes: Uint8Array) => new SecretBytes(new Uint8Array(bytes));
const opened = (secret: SecretBytes) => secret.expose((bytes) => [...bytes]);
const refuses = (work: Promise<unknown>, code: ErrorCode) => expect(work).rejects.toMatchObject({ name: 'VaultError', code });

export function keyProviderContract(name: string, make: () => Promise<MadeKeyProvider>, can: Capabilities = {}): void {
  const { tier = 1, algorithm = 'ed25519', keepsDestroyed = false } = can;
  describe(`KeyProvider: ${name}`, () => {
    let made: MadeKeyProvider;
    let provider: KeyProvider;
    const kek = ref('contract-kek');
    const aad = utf8('the context of one key');
    const atOnce = () => made.atOnce ?? 100;
    const dek = Uint8Array.from({ length: 32 }, (_, at) => at);

    beforeAll(async () => {
      made = await make();
      provider = made.provider;
      await provider.generate(kek, 'kek');
      await provider.generate(ref('contract-kek', 2), 'kek');
    });
    afterAll(async () => {
      await provider?.close();
      await made?.cleanUp?.();
    });

    test('is healthy', async () => {
      expect(await provider.health()).toMatchObject({ ok: true });
    });

    test('describes a kek as it was generated: it cannot leave and has no public key', async () => {
      const info = await provider.generate(ref('described'), 'kek');
      const wrapped = await provider.wrap(ref('described'), secretOf(dek), aad);
      const wrap = { tier, algorithm: expect.stringMatching(ALGORITHMS[tier]), provider: wrapped.provider };
      expect(info).toEqual({ ref: ref('described'), purpose: 'kek', extractable: false, wrap: expect.objectContaining(wrap) });
      expect(await provider.describe(ref('described'))).toEqual(info);
    });

    if (algorithm === 'none') {
      test.each(['catalogue', 'log'] as const)('refuses to make a %s key, says why, and leaves nothing behind', async (purpose) => {
        const refused = provider.generate(ref('unsigned'), purpose);
        await expect(refused).rejects.toMatchObject({ code: 'hsm_mechanism_missing', detail: expect.stringContaining('P-256') });
        await refuses(provider.describe(ref('unsigned')), 'key_unknown');
        await refuses(provider.sign(ref('unsigned'), dek), 'key_unknown');
      });
    } else {
      test.each(['catalogue', 'log'] as const)('generates a %s key whose signatures node:crypto verifies', async (purpose) => {
        const key = ref(`signs-${purpose}`);
        const info = await provider.generate(key, purpose);
        expect(info).toMatchObject({ ref: key, purpose, extractable: false, algorithm });
        expect(await provider.describe(key)).toEqual(info);
        const publicKey = createPublicKey({ key: Buffer.from(info.publicKey ?? []), format: 'der', type: 'spki' });
        expect(signatureAlgorithmOf(publicKey)).toBe(algorithm);
        for (const size of [1, 32, 65_536]) {
          const message = new Uint8Array(size).fill(size & 0xff);
          const signature = await provider.sign(key, message);
          expect(verifySignature(publicKey, message, signature)).toBe(true);
          message[0] = (message[0] ?? 0) ^ 1;
          expect(verifySignature(publicKey, message, signature)).toBe(false);
        }
      });

      test('never destroys a signing key', async () => {
        await provider.generate(ref('signs-for-ever'), 'catalogue');
        await refuses(provider.destroy(ref('signs-for-ever')), 'key_unknown');
        expect((await provider.sign(ref('signs-for-ever'), dek)).length).toBeGreaterThanOrEqual(8);
      });

      test('a kek does not sign and a signing key does not wrap', async () => {
        await provider.generate(ref('only-signs'), 'log');
        await refuses(provider.sign(kek, dek), 'key_unknown');
        await refuses(provider.wrap(ref('only-signs'), secretOf(dek), aad), 'key_unknown');
      });
    }

    test('never replaces a key: the same name and version is refused, whatever the purpose', async () => {
      await provider.generate(ref('taken'), 'kek');
      const wrapped = await provider.wrap(ref('taken'), secretOf(dek), aad);
      for (const purpose of ['kek', 'catalogue', 'log'] as const) await refuses(provider.generate(ref('taken'), purpose), 'key_exists');
      expect(opened(await provider.unwrap(wrapped, aad))).toEqual([...dek]);
    });

    test('makes one key when the same one is asked for many times at once', async () => {
      const results = await Promise.allSettled(Array.from({ length: 8 }, () => provider.generate(ref('raced'), 'kek')));
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      expect(await provider.describe(ref('raced'))).toMatchObject({ purpose: 'kek' });
    });

    test('an unknown key is key_unknown, and asking for it does not make it', async () => {
      const absent = ref('absent');
      await refuses(provider.wrap(absent, secretOf(dek), aad), 'key_unknown');
      await refuses(provider.sign(absent, dek), 'key_unknown');
      await refuses(provider.describe(absent), 'key_unknown');
      await refuses(provider.describe(ref('contract-kek', 3)), 'key_unknown');
      const wrapped = await provider.wrap(kek, secretOf(dek), aad);
      await refuses(provider.unwrap({ ...wrapped, kek: absent }, aad), 'key_unknown');
      await refuses(provider.describe(absent), 'key_unknown');
    });

    test('rewraps under a next version: the same secret, another blob, and the old one still opens', async () => {
      const wrapped = await provider.wrap(kek, secretOf(dek), aad);
      const toAad = utf8('the context of one key, under version 2');
      const again = await provider.rewrap(wrapped, aad, ref('contract-kek', 2), toAad);
      expect(again).toMatchObject({ kek: ref('contract-kek', 2), aadDigest: sha256(toAad) });
      expect(opened(await provider.unwrap(again, toAad))).toEqual([...dek]);
      expect(opened(await provider.unwrap(wrapped, aad))).toEqual([...dek]);
      await refuses(provider.rewrap(wrapped, toAad, ref('contract-kek', 2), toAad), 'key_context_mismatch');
      await refuses(provider.rewrap(wrapped, aad, ref('absent'), toAad), 'key_unknown');
      const altered = { ...wrapped, bytes: wrapped.bytes.map((byte) => byte ^ 1) };
      await refuses(provider.rewrap(altered, aad, ref('contract-kek', 2), toAad), 'key_unwrap_refused');
    });

    test('destroys one version of a kek: what it wrapped is lost, what others wrapped is not', async () => {
      await provider.generate(ref('doomed'), 'kek');
      await provider.generate(ref('doomed', 2), 'kek');
      const lost = await provider.wrap(ref('doomed'), secretOf(dek), aad);
      const kept = await provider.wrap(ref('doomed', 2), secretOf(dek), aad);
      const destroyed = await provider.destroy(ref('doomed'));
      const code = keepsDestroyed ? 'key_pending_deletion' : 'key_unknown';
      await refuses(provider.unwrap(lost, aad), code);
      await refuses(provider.describe(ref('doomed')), code);
      await refuses(provider.rewrap(lost, aad, ref('doomed', 2), aad), code);
      await refuses(provider.wrap(ref('doomed'), secretOf(dek), aad), code);
      await refuses(provider.rewrap(kept, aad, ref('doomed'), aad), code);
      if (keepsDestroyed) {
        expect(destroyed.cancellableUntil?.getTime()).toBeGreaterThan(Date.now());
        expect(await provider.destroy(ref('doomed'))).toEqual(destroyed);
      } else {
        expect(destroyed).toEqual({});
        await refuses(provider.destroy(ref('doomed')), code);
      }
      expect(opened(await provider.unwrap(kept, aad))).toEqual([...dek]);
    });

    test('wraps any 16 to 64 bytes under any AAD and opens them again', async () => {
      const secrets = fc.uint8Array({ minLength: 16, maxLength: 64 });
      const aads = fc.uint8Array({ minLength: 0, maxLength: 300 });
      await fc.assert(
        fc.asyncProperty(secrets, aads, async (bytes, context) => {
          const wrapped = await provider.wrap(kek, secretOf(bytes), context);
          expect(wrapped).toMatchObject({ v: 1, tier, kek });
          expect(decodeWrappedKey(encodeWrappedKey(wrapped))).toEqual(wrapped); // it can be stored, so its sizes are those of its tier
          expect(wrapped.aadDigest).toEqual(sha256(context));
          expect(opened(await provider.unwrap(wrapped, context))).toEqual([...bytes]);
        }),
        { numRuns: made.runs ?? 60 },
      );
    });

    test('leaves the secret it wraps to its owner and never makes the same wrap twice, except by the key wrap that always does', async () => {
      const secret = secretOf(dek);
      const count = Math.min(50, atOnce());
      const all = await Promise.all(Array.from({ length: count }, () => provider.wrap(kek, secret, aad)));
      const distinct = (of: (wrapped: WrappedKey) => Uint8Array) => new Set(all.map((one) => Buffer.from(of(one)).toString('hex'))).size;
      expect(distinct(({ bytes }) => bytes)).toBe(tier === 2 ? 1 : count);
      if (all[0]?.iv.length !== 0) expect(distinct(({ iv }) => iv)).toBe(count);
      expect(opened(secret)).toEqual([...dek]);
    });

    test('refuses sizes outside its promise before it touches a key', async () => {
      for (const size of [0, 15, 65]) await refuses(provider.wrap(kek, secretOf(new Uint8Array(size)), aad), 'request_invalid');
      for (const size of [16, 64]) await provider.wrap(kek, secretOf(new Uint8Array(size)), aad);
      for (const size of [0, -1, 1.5, 1025, Number.NaN]) await refuses(provider.random(size), 'request_invalid');
      for (const size of [0, 65_537]) await refuses(provider.sign(ref('any-key'), new Uint8Array(size)), 'request_invalid');
      await refuses(provider.wrap(kek, secretOf(dek), new Uint8Array(4097)), 'request_invalid');
      for (const bad of [ref('contract-kek', 0), ref('contract-kek', 1.5), ref('Contract-Kek'), ref('a/b'), ref('')]) {
        await refuses(provider.generate(bad, 'kek'), 'request_invalid');
        await refuses(provider.describe(bad), 'request_invalid');
      }
    });

    test('another AAD is key_context_mismatch, and key_unwrap_refused when the digest was changed to fit', async () => {
      const wrapped = await provider.wrap(kek, secretOf(dek), aad);
      for (const other of [new Uint8Array(0), utf8('the context of one kez'), utf8('the context of one key ')]) {
        await refuses(provider.unwrap(wrapped, other), 'key_context_mismatch');
        await refuses(provider.unwrap({ ...wrapped, aadDigest: sha256(other) }, other), 'key_unwrap_refused');
      }
    });

    test('opens a DEK for its own vault, namespace, model and version, and for no other', async () => {
      const own = {
        vaultId: '01890000-0000-7000-8000-000000000001' as VaultId,
        namespace: 'lab' as Namespace,
        modelId: '01890000-0000-7000-8000-000000000002' as ModelId,
        versionId: '01890000-0000-7000-8000-000000000003' as VersionId,
      };
      const wrapped = await provider.wrap(kek, secretOf(dek), dekWrapAad(own, kek));
      expect(opened(await provider.unwrap(wrapped, dekWrapAad(own, kek)))).toEqual([...dek]);
      for (const name of ['vaultId', 'namespace', 'modelId', 'versionId'] as const) {
        const other = dekWrapAad({ ...own, [name]: 'other' }, kek);
        await refuses(provider.unwrap(wrapped, other), 'key_context_mismatch');
        await refuses(provider.unwrap({ ...wrapped, aadDigest: sha256(other) }, other), 'key_unwrap_refused');
      }
    });

    test('refuses a blob altered in any one byte', async () => {
      const wrapped = await provider.wrap(kek, secretOf(dek), aad);
      const altered: Array<[WrappedKey, ErrorCode]> = [
        ...sample(twins(wrapped.bytes), made.runs ?? 80).map((bytes): [WrappedKey, ErrorCode] => [
          { ...wrapped, bytes },
          'key_unwrap_refused',
        ]),
        ...twins(wrapped.iv).map((iv): [WrappedKey, ErrorCode] => [{ ...wrapped, iv }, 'key_unwrap_refused']),
        ...sample(twins(wrapped.aadDigest), made.runs ?? 32).map((aadDigest): [WrappedKey, ErrorCode] => [
          { ...wrapped, aadDigest },
          'key_context_mismatch',
        ]),
      ];
      for (const [blob, code] of altered) await refuses(provider.unwrap(blob, aad), code);
      expect(opened(await provider.unwrap(wrapped, aad))).toEqual([...dek]);
    });

    test('refuses a blob that is cut, extended, or named after another provider or kek version', async () => {
      const wrapped = await provider.wrap(kek, secretOf(dek), aad);
      const blobs: WrappedKey[] = [
        { ...wrapped, bytes: wrapped.bytes.slice(1) },
        { ...wrapped, bytes: wrapped.bytes.slice(0, -1) },
        { ...wrapped, bytes: wrapped.bytes.slice(0, 15) },
        { ...wrapped, bytes: Uint8Array.from([...wrapped.bytes, 0]) },
        { ...wrapped, iv: Uint8Array.from([...wrapped.iv, 0]) },
        { ...wrapped, tier: tier === 1 ? 2 : 1 },
        { ...wrapped, provider: 'somebody-else' },
        { ...wrapped, kek: ref('contract-kek', 2) },
      ];
      for (const blob of blobs) await refuses(provider.unwrap(blob, aad), 'key_unwrap_refused');
    });

    test('gives random bytes of every asked length, not the same ones twice', async () => {
      for (const length of [1, 2, 15, 16, 17, 32, 1023, 1024]) expect(await provider.random(length)).toHaveLength(length);
      const draws = await Promise.all(Array.from({ length: atOnce() }, () => provider.random(16)));
      expect(new Set(draws.map((draw) => Buffer.from(draw).toString('hex'))).size).toBe(atOnce());
    });

    test('answers many operations at once, each with its own result, failures among them', async () => {
      const secrets = Array.from({ length: atOnce() }, (_, at) => new Uint8Array(32).fill(at));
      const answers = await Promise.all(
        secrets.map(async (bytes, at) => {
          const context = utf8(`context ${at}`);
          const wrapped = await provider.wrap(kek, secretOf(bytes), context);
          if (at % 3 === 0) await refuses(provider.unwrap({ ...wrapped, kek: ref('contract-kek', 2) }, context), 'key_unwrap_refused');
          return opened(await provider.unwrap(wrapped, context));
        }),
      );
      expect(answers).toEqual(secrets.map((bytes) => [...bytes]));
    });

    test('after close every operation is keeper_unavailable and health says so', async () => {
      await provider.close();
      await refuses(provider.random(16), 'keeper_unavailable');
      await refuses(provider.describe(kek), 'keeper_unavailable');
      await refuses(provider.generate(ref('late'), 'kek'), 'keeper_unavailable');
      await refuses(provider.wrap(kek, secretOf(dek), aad), 'keeper_unavailable');
      expect(await provider.health()).toEqual({ ok: false, code: 'keeper_unavailable' });
      await provider.close();
    });
  });
}

/** At most `most` of them, from the first to the last. */
function sample<T>(all: readonly T[], most: number): readonly T[] {
  const step = Math.max(1, (all.length - 1) / (most - 1));
  return Array.from({ length: Math.min(all.length, most) }, (_, at) => all[Math.round(at * step)] as T); // within bounds
}

/** Every copy of `bytes` that differs in one byte. */
function twins(bytes: Uint8Array): Uint8Array[] {
  return [...bytes].map((_, at) => bytes.map((byte, other) => (other === at ? byte ^ 0x40 : byte)));
}

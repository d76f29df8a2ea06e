/** A KeyProvider out of node:crypto, for tests that are not about the HSM. Passes test/contract/key-provider.ts. */
import { createCipheriv, createDecipheriv, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { equalBytes } from '../../src/domain/bytes.ts';
import { VaultError } from '../../src/domain/errors.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import { checkAad, checkMessage, checkRandomLength, checkRef, checkSecret } from '../../src/keys/bounds.ts';
import type { KeyInfo, KeyProvider, KeyPurpose, KeyRef } from '../../src/keys/port.ts';
import { aadDigest, decodeWrappedKey, encodeWrappedKey, type WrappedKey } from '../../src/keys/wrapped-key.ts';

const PROVIDER = 'memory';
const TAG_BYTES = 16;

interface HeldKey {
  readonly info: KeyInfo;
  /** Of a KEK. */
  readonly aes?: Buffer;
  /** Of a signing key. */
  readonly privateKey?: KeyObject;
}

export function createMemoryKeyProvider(): KeyProvider {
  const keys = new Map<string, HeldKey>();
  let closed = false;

  const nameOf = (ref: KeyRef) => `${ref.id}/${ref.version}`;

  function held(ref: KeyRef): HeldKey {
    if (closed) throw new VaultError('keeper_unavailable', 'the key provider is closed');
    checkRef(ref);
    const key = keys.get(nameOf(ref));
    if (key === undefined) throw new VaultError('key_unknown', nameOf(ref));
    return key;
  }

  function kekBytes(ref: KeyRef): Buffer {
    const { aes } = held(ref);
    if (aes === undefined) throw new VaultError('key_unknown', `${nameOf(ref)} is not a kek`);
    return aes;
  }

  const provider: KeyProvider = {
    async generate(ref, purpose) {
      if (closed) throw new VaultError('keeper_unavailable', 'the key provider is closed');
      checkRef(ref);
      if (keys.has(nameOf(ref))) throw new VaultError('key_exists', nameOf(ref));
      const key = makeKey(ref, purpose);
      keys.set(nameOf(ref), key);
      return key.info;
    },
    async describe(ref) {
      return held(ref).info;
    },
    async destroy(ref) {
      kekBytes(ref).fill(0);
      keys.delete(nameOf(ref));
    },
    async wrap(kek, secret, aad) {
      checkSecret(secret);
      checkAad(aad);
      return wrapUnder(kekBytes(kek), kek, secret, aad);
    },
    async unwrap(wrapped, aad) {
      checkAad(aad);
      decodeWrappedKey(encodeWrappedKey(wrapped)); // refuses what could not have been read from storage
      if (wrapped.provider !== PROVIDER || wrapped.tier !== 1) throw new VaultError('key_unwrap_refused', 'made by another provider');
      if (!equalBytes(wrapped.aadDigest, aadDigest(aad))) throw new VaultError('key_context_mismatch');
      return openWith(kekBytes(wrapped.kek), wrapped, aad);
    },
    async rewrap(wrapped, aad, to, toAad) {
      using secret = await provider.unwrap(wrapped, aad);
      return provider.wrap(to, secret, toAad);
    },
    async sign(ref, message) {
      checkMessage(message);
      const { privateKey } = held(ref);
      if (privateKey === undefined) throw new VaultError('key_unknown', `${nameOf(ref)} is not a signing key`);
      return new Uint8Array(sign(null, message, privateKey));
    },
    async random(length) {
      if (closed) throw new VaultError('keeper_unavailable', 'the key provider is closed');
      checkRandomLength(length);
      return new Uint8Array(randomBytes(length));
    },
    async health() {
      return closed ? { ok: false, code: 'keeper_unavailable' } : { ok: true };
    },
    async close() {
      closed = true;
      for (const key of keys.values()) key.aes?.fill(0);
      keys.clear();
    },
  };
  return provider;
}

function makeKey(ref: KeyRef, purpose: KeyPurpose): HeldKey {
  const plain = { id: ref.id, version: ref.version };
  if (purpose === 'kek') return { info: { ref: plain, purpose, extractable: false }, aes: randomBytes(32) };
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
  return { info: { ref: plain, purpose, publicKey: spki, extractable: false }, privateKey };
}

function wrapUnder(aes: Buffer, kek: KeyRef, secret: SecretBytes, aad: Uint8Array): WrappedKey {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', aes, iv).setAAD(aad);
  const bytes = secret.expose((plain) => Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]));
  return {
    v: 1,
    tier: 1,
    provider: PROVIDER,
    kek: { id: kek.id, version: kek.version },
    iv: new Uint8Array(iv),
    bytes: new Uint8Array(bytes),
    aadDigest: aadDigest(aad),
  };
}

function openWith(aes: Buffer, wrapped: WrappedKey, aad: Uint8Array): SecretBytes {
  const end = wrapped.bytes.length - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', aes, wrapped.iv, { authTagLength: TAG_BYTES });
  decipher.setAAD(aad).setAuthTag(wrapped.bytes.subarray(end));
  const plain = decipher.update(wrapped.bytes.subarray(0, end));
  try {
    decipher.final();
  } catch (cause) {
    plain.fill(0);
    throw new VaultError('key_unwrap_refused', 'the wrapped key does not verify', { cause });
  }
  return new SecretBytes(plain);
}

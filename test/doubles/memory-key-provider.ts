/** A KeyProvider out of node:crypto, for tests that are not about the HSM. Passes test/contract/key-provider.ts in every tier. */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  sign,
} from 'node:crypto';
import { equalBytes } from '../../src/domain/bytes.ts';
import { VaultError } from '../../src/domain/errors.ts';
import type { WrapTier } from '../../src/domain/kek-wrap.ts';
import { SecretBytes } from '../../src/domain/secret.ts';
import type { SignatureAlgorithm } from '../../src/domain/signature.ts';
import { bindSecret, unbindSecret } from '../../src/keys/bound-secret.ts';
import { checkAad, checkMessage, checkRandomLength, checkRef, checkSecret } from '../../src/keys/bounds.ts';
import type { KeyInfo, KeyProvider, KeyPurpose, KeyRef } from '../../src/keys/port.ts';
import { aadDigest, decodeWrappedKey, encodeWrappedKey, type WrappedKey } from '../../src/keys/wrapped-key.ts';

const PROVIDER = 'memory';
const TAG_BYTES = 16;
/** RFC 5649 section 3: what stands before the length in the alternative initial value. */
const KWP_IV = Buffer.from('a65959a6', 'hex');

export interface MemoryKeys {
  readonly tier?: WrapTier;
  readonly algorithm?: SignatureAlgorithm;
}

interface HeldKey {
  readonly info: KeyInfo;
  /** Of a KEK. */
  readonly kek?: Kek;
  /** Of a signing key. */
  readonly privateKey?: KeyObject;
}

interface Kek {
  seal(plain: Uint8Array, aad: Uint8Array): { readonly iv: Uint8Array; readonly bytes: Uint8Array };
  /** Throws whatever it likes when the bytes are not what `seal` made. */
  open(wrapped: WrappedKey, aad: Uint8Array): Uint8Array;
}

export function createMemoryKeyProvider({ tier = 1, algorithm = 'ed25519' }: MemoryKeys = {}): KeyProvider {
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

  function kekOf(ref: KeyRef): Kek {
    const { kek } = held(ref);
    if (kek === undefined) throw new VaultError('key_unknown', `${nameOf(ref)} is not a kek`);
    return kek;
  }

  const provider: KeyProvider = {
    async generate(ref, purpose) {
      if (closed) throw new VaultError('keeper_unavailable', 'the key provider is closed');
      checkRef(ref);
      if (keys.has(nameOf(ref))) throw new VaultError('key_exists', nameOf(ref));
      const key = makeKey(ref, purpose, { tier, algorithm });
      keys.set(nameOf(ref), key);
      return key.info;
    },
    async describe(ref) {
      return held(ref).info;
    },
    async destroy(ref) {
      kekOf(ref);
      keys.delete(nameOf(ref));
      return {};
    },
    async wrap(ref, secret, aad) {
      checkSecret(secret);
      checkAad(aad);
      const sealed = secret.expose((plain) => kekOf(ref).seal(plain, aad));
      return { v: 1, tier, provider: PROVIDER, kek: { id: ref.id, version: ref.version }, ...sealed, aadDigest: aadDigest(aad) };
    },
    async unwrap(wrapped, aad) {
      checkAad(aad);
      decodeWrappedKey(encodeWrappedKey(wrapped)); // refuses what could not have been read from storage
      if (wrapped.provider !== PROVIDER) throw new VaultError('key_unwrap_refused', 'made by another provider');
      if (!equalBytes(wrapped.aadDigest, aadDigest(aad))) throw new VaultError('key_context_mismatch');
      const kek = kekOf(wrapped.kek);
      if (wrapped.tier !== tier) throw new VaultError('key_unwrap_refused', 'made in another tier');
      try {
        return new SecretBytes(kek.open(wrapped, aad));
      } catch (cause) {
        throw new VaultError('key_unwrap_refused', 'the wrapped key does not verify', { cause });
      }
    },
    async rewrap(wrapped, aad, to, toAad) {
      using secret = await provider.unwrap(wrapped, aad);
      return provider.wrap(to, secret, toAad);
    },
    async sign(ref, message) {
      checkMessage(message);
      const { privateKey } = held(ref);
      if (privateKey === undefined) throw new VaultError('key_unknown', `${nameOf(ref)} is not a signing key`);
      return new Uint8Array(sign(algorithm === 'ed25519' ? null : 'sha256', message, privateKey));
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
      keys.clear();
    },
  };
  return provider;
}

function makeKey(ref: KeyRef, purpose: KeyPurpose, { tier, algorithm }: Required<MemoryKeys>): HeldKey {
  const plain = { id: ref.id, version: ref.version };
  if (purpose === 'kek')
    return {
      info: { ref: plain, purpose, extractable: false, wrap: { tier, algorithm: WRAPS[tier], provider: PROVIDER } },
      kek: KEKS[tier](),
    };
  const pair = algorithm === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const publicKey = new Uint8Array(pair.publicKey.export({ type: 'spki', format: 'der' }));
  return { info: { ref: plain, purpose, publicKey, algorithm, extractable: false }, privateKey: pair.privateKey };
}

const WRAPS = { 1: 'AES-256-GCM', 2: 'AES-256-KWP', 3: 'RSA-2048-OAEP-SHA-256' } as const;

const KEKS: Readonly<Record<WrapTier, () => Kek>> = {
  1: () => {
    const key = randomBytes(32);
    return {
      seal(plain, aad) {
        const iv = new Uint8Array(randomBytes(12));
        const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(aad);
        return { iv, bytes: new Uint8Array(Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])) };
      },
      open({ iv, bytes }, aad) {
        const end = bytes.length - TAG_BYTES;
        const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES });
        decipher.setAAD(aad).setAuthTag(bytes.subarray(end));
        return new Uint8Array(Buffer.concat([decipher.update(bytes.subarray(0, end)), decipher.final()]));
      },
    };
  },
  2: () => {
    const key = randomBytes(32);
    return {
      seal(plain, aad) {
        const cipher = createCipheriv('id-aes256-wrap-pad', key, KWP_IV);
        return { iv: new Uint8Array(0), bytes: new Uint8Array(Buffer.concat([cipher.update(bindSecret(plain, aad)), cipher.final()])) };
      },
      open({ bytes }, aad) {
        const decipher = createDecipheriv('id-aes256-wrap-pad', key, KWP_IV);
        return unbindSecret(new Uint8Array(Buffer.concat([decipher.update(bytes), decipher.final()])), aad);
      },
    };
  },
  3: () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };
    return {
      seal: (plain, aad) => ({
        iv: new Uint8Array(0),
        bytes: new Uint8Array(publicEncrypt({ key: publicKey, ...oaep }, bindSecret(plain, aad))),
      }),
      open: ({ bytes }, aad) => unbindSecret(new Uint8Array(privateDecrypt({ key: privateKey, ...oaep }, bytes)), aad),
    };
  },
};

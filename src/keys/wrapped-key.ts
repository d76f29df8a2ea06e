/** The wrapped blob: never bytes without their key version (docs/formats/wrapped-key.md). */
import { lp, sha256 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import type { AdministratorId, KeyId, ModelId, Namespace, VaultId, VersionId } from '../domain/ids.ts';
import { WRAP_TIERS, type WrapTier } from '../domain/kek-wrap.ts';
import { decodeFlatMap, encodeFlatMap, type FlatMap } from './flat-cbor.ts';
import type { KeyRef } from './port.ts';

export interface WrappedKey {
  readonly v: 1;
  /**
   * 1: an AEAD with the AAD itself (AES-256-GCM, or that of a cloud KMS). 2: AES key wrap with padding (RFC 5649), and 3: RSA-OAEP with SHA-256,
   * both over secret ‖ SHA-256(AAD) (bound-secret.ts). Anyone who has the public key can make a tier-3 wrap: what it opens counts only together
   * with the signed manifest.
   */
  readonly tier: WrapTier;
  /** Which provider made it: `pkcs11`, `aws-kms`. Another one refuses it. */
  readonly provider: string;
  readonly kek: KeyRef;
  /** 12 random bytes in tier 1 of a token; empty where the mechanism has none of its own to keep. */
  readonly iv: Uint8Array;
  /** Tier 1: ciphertext followed by the 16-byte tag, or what the KMS answered. Tiers 2 and 3: the wrapped or encrypted bytes. */
  readonly bytes: Uint8Array;
  /** SHA-256 of the AAD: tells a wrong context from altered bytes. */
  readonly aadDigest: Uint8Array;
}

export interface DekContext {
  readonly vaultId: VaultId;
  readonly namespace: Namespace;
  readonly modelId: ModelId;
  readonly versionId: VersionId;
}

/** LP("weight-vault dek wrap v1", vaultId, namespace, modelId, versionId, kekId, kekVersion). */
export function dekWrapAad(context: DekContext, kek: KeyRef): Uint8Array {
  return lp(
    'weight-vault dek wrap v1',
    context.vaultId,
    context.namespace,
    context.modelId,
    context.versionId,
    kek.id,
    String(kek.version),
  );
}

/** LP("weight-vault totp seed v1", vaultId, administratorId, authenticatorId, kekId, kekVersion). */
export function totpSeedAad(vaultId: VaultId, administratorId: AdministratorId, authenticatorId: string, kek: KeyRef): Uint8Array {
  return lp('weight-vault totp seed v1', vaultId, administratorId, authenticatorId, kek.id, String(kek.version));
}

export function aadDigest(aad: Uint8Array): Uint8Array {
  return sha256(aad);
}

/** `roomFor` gives the memory for all of it. */
export function encodeWrappedKey(key: WrappedKey, roomFor?: (size: number) => Uint8Array): Uint8Array {
  const { v, iv, tier, bytes, kek, provider, aadDigest: digest } = key;
  const map = { v, iv, tier, bytes, kekId: kek.id, provider, aadDigest: digest, kekVersion: kek.version };
  return encodeFlatMap(map, 0, roomFor);
}

const AWS_KMS = 'aws-kms';
/** Of the encoded map, all of which are demanded. */
const MEMBERS = 8;

/** What 16 to 64 secret bytes become. */
const SHAPES: Readonly<Record<WrapTier | typeof AWS_KMS, { readonly ivBytes: number; readonly fits: (bytes: number) => boolean }>> = {
  1: { ivBytes: 12, fits: (bytes) => bytes >= 32 && bytes <= 80 }, // and a 16-byte tag
  2: { ivBytes: 0, fits: (bytes) => bytes >= 56 && bytes <= 104 && bytes % 8 === 0 }, // and a 32-byte digest, in blocks of 8, and 8 more
  3: { ivBytes: 0, fits: (bytes) => bytes === 256 || bytes === 384 || bytes === 512 }, // a modulus of 2048, 3072 or 4096 bits
  [AWS_KMS]: { ivBytes: 0, fits: (bytes) => bytes >= 32 && bytes <= 6144 }, // CiphertextBlob of the KMS API
};

/** Throws `key_unwrap_refused` for bytes that are not exactly one wrapped blob of a known version and tier. Its byte strings are views of `encoded`. */
export function decodeWrappedKey(encoded: Uint8Array): WrappedKey {
  const refused = (why: string) => new VaultError('key_unwrap_refused', why);
  let map: FlatMap;
  try {
    map = decodeFlatMap(encoded);
  } catch (cause) {
    throw new VaultError('key_unwrap_refused', 'the wrapped key is not deterministic CBOR', { cause });
  }
  const { v, tier, provider, kekId, kekVersion, iv, bytes, aadDigest: digest } = map;
  const known = WRAP_TIERS.find((one) => one === tier);
  if (v !== 1 || known === undefined || Object.keys(map).length !== MEMBERS) throw refused('unknown version, tier or member');
  if (typeof provider !== 'string' || typeof kekId !== 'string') throw refused('provider and kekId are text');
  if (typeof kekVersion !== 'number' || !Number.isInteger(kekVersion) || kekVersion < 1) throw refused('kekVersion counts from 1');
  if (!(iv instanceof Uint8Array) || !(bytes instanceof Uint8Array) || !(digest instanceof Uint8Array)) throw refused('not bytes');
  const key: WrappedKey = {
    v,
    tier: known,
    provider,
    kek: { id: kekId as KeyId, version: kekVersion },
    iv,
    bytes,
    aadDigest: digest,
  };
  checkWrappedKey(key);
  return key;
}

/** Throws `key_unwrap_refused` for sizes that the tier and provider of the blob never make. */
export function checkWrappedKey({ tier, provider, iv, bytes, aadDigest: digest }: WrappedKey): void {
  const refused = (why: string) => new VaultError('key_unwrap_refused', why);
  const shape = SHAPES[provider === AWS_KMS ? AWS_KMS : tier];
  if (iv.length !== shape.ivBytes) throw refused('an IV of another length than its tier has');
  if (!shape.fits(bytes.length)) throw refused('another number of wrapped bytes than its tier makes');
  if (provider === AWS_KMS && tier !== 1) throw refused('a tier that this provider does not have');
  if (digest.length !== 32) throw refused('the AAD digest is 32 bytes');
}

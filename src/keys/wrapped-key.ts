/** The wrapped blob: never bytes without their key version (docs/formats/wrapped-key.md). */
import { lp, sha256 } from '../domain/bytes.ts';
import { type Cbor, decodeCbor, encodeCbor } from '../domain/cbor.ts';
import { VaultError } from '../domain/errors.ts';
import type { AdministratorId, KeyId, ModelId, Namespace, VaultId, VersionId } from '../domain/ids.ts';
import type { KeyRef } from './port.ts';

/** 1: AES-256-GCM with the AAD itself. Tiers 2 (RFC 5649) and 3 (RSA-OAEP) carry SHA-256(AAD) inside and are not written yet. */
export type WrapTier = 1;

export interface WrappedKey {
  readonly v: 1;
  readonly tier: WrapTier;
  /** Which provider made it, e.g. `pkcs11`. */
  readonly provider: string;
  readonly kek: KeyRef;
  /** 12 random bytes. */
  readonly iv: Uint8Array;
  /** Ciphertext followed by the 16-byte tag. */
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

export function encodeWrappedKey(key: WrappedKey): Uint8Array {
  return encodeCbor({
    v: key.v,
    tier: key.tier,
    provider: key.provider,
    kekId: key.kek.id,
    kekVersion: key.kek.version,
    iv: new Uint8Array(key.iv),
    bytes: new Uint8Array(key.bytes),
    aadDigest: new Uint8Array(key.aadDigest),
  });
}

/** Throws `key_unwrap_refused` for bytes that are not exactly one wrapped blob of a known version and tier. */
export function decodeWrappedKey(encoded: Uint8Array): WrappedKey {
  const refused = (why: string) => new VaultError('key_unwrap_refused', why);
  let map: Cbor;
  try {
    map = decodeCbor(encoded, 2);
  } catch (cause) {
    throw new VaultError('key_unwrap_refused', 'the wrapped key is not deterministic CBOR', { cause });
  }
  if (map === null || typeof map !== 'object' || Array.isArray(map) || map instanceof Uint8Array) throw refused('not a map');
  const { v, tier, provider, kekId, kekVersion, iv, bytes, aadDigest: digest, ...rest } = map as Record<string, Cbor>; // a map, checked above
  if (v !== 1 || tier !== 1 || Object.keys(rest).length > 0) throw refused('unknown version, tier or member');
  if (typeof provider !== 'string' || typeof kekId !== 'string') throw refused('provider and kekId are text');
  if (typeof kekVersion !== 'number' || !Number.isInteger(kekVersion) || kekVersion < 1) throw refused('kekVersion counts from 1');
  if (!(iv instanceof Uint8Array) || iv.length !== 12) throw refused('the IV is 12 bytes');
  if (!(bytes instanceof Uint8Array) || bytes.length < 32 || bytes.length > 80) throw refused('16 to 64 wrapped bytes and a tag');
  if (!(digest instanceof Uint8Array) || digest.length !== 32) throw refused('the AAD digest is 32 bytes');
  return { v, tier, provider, kek: { id: kekId as KeyId, version: kekVersion }, iv, bytes, aadDigest: digest };
}

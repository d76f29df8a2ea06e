/**
 * The second wrap of a DEK, for the day the HSM is lost: HPKE (RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM) to a
 * public key whose private part is on paper only (recovery-shares.ts). Whoever has the public key can make one, so what it opens counts only
 * together with the signed manifest (docs/formats/recovery.md).
 */
import { randomFillSync } from 'node:crypto';
import { AEAD_AES_256_GCM, CipherSuite, KDF_HKDF_SHA256, KEM_DHKEM_X25519_HKDF_SHA256 } from 'hpke';
import { concat, lp, sha256Hex } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { SecretBytes, secretCopy, secretRoom } from '../domain/secret.ts';
import { DEK_BYTES } from './dek.ts';
import type { DekContext } from './wrapped-key.ts';

const suite = new CipherSuite(KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM);

export const RECOVERY_SEED_BYTES = 32;
/** X25519: the encapsulated key is as long as a public key. */
export const RECOVERY_KEY_BYTES = 32;
const WRAP_BYTES = RECOVERY_KEY_BYTES + DEK_BYTES + 16;
const ID_HEX = 16;

export interface RecoveryKey {
  /** Names the public key: the first 16 hexadecimal digits of its SHA-256. */
  readonly keyId: string;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
}

export const recoveryKeyId = (publicKey: Uint8Array): string => sha256Hex(publicKey).slice(0, ID_HEX);

/** The seed is what goes on paper; the key pair is derived from it (RFC 9180 section 7.1.3). The caller disposes it. */
export async function newRecoveryKey(): Promise<RecoveryKey & { readonly seed: SecretBytes }> {
  const seed = new SecretBytes(randomFillSync(secretRoom(RECOVERY_SEED_BYTES)));
  return { seed, ...(await recoveryKeyOf(seed)) };
}

export async function recoveryKeyOf(seed: SecretBytes): Promise<RecoveryKey> {
  const { publicKey } = await pairOf(seed, true);
  const bytes = await suite.SerializePublicKey(publicKey);
  return { keyId: recoveryKeyId(bytes), publicKey: bytes };
}

/** Encapsulated key and ciphertext, 80 bytes. Does not keep or dispose `dek`. */
export async function wrapForRecovery(dek: SecretBytes, key: RecoveryKey, context: DekContext): Promise<Uint8Array> {
  const to = await suite.DeserializePublicKey(key.publicKey);
  const plain = dek.expose(secretCopy);
  try {
    const { encapsulatedSecret, ciphertext } = await suite.Seal(to, plain, { info: infoOf(key.keyId, context) });
    return concat(encapsulatedSecret, ciphertext);
  } finally {
    plain.fill(0);
  }
}

/** Opens recovery wraps for as long as `seed` is not disposed. Throws `key_unwrap_refused` for altered bytes, another key or another context. */
export async function recoveryOpener(seed: SecretBytes): Promise<(wrapped: Uint8Array, context: DekContext) => Promise<SecretBytes>> {
  const { privateKey, publicKey } = await pairOf(seed, false);
  const keyId = recoveryKeyId(await suite.SerializePublicKey(publicKey));
  return async (wrapped, context) => {
    if (wrapped.length !== WRAP_BYTES) throw new VaultError('key_unwrap_refused', 'the recovery wrap has another length');
    const [encapsulated, ciphertext] = [wrapped.slice(0, RECOVERY_KEY_BYTES), wrapped.slice(RECOVERY_KEY_BYTES)];
    try {
      return new SecretBytes(await suite.Open({ privateKey, publicKey }, encapsulated, ciphertext, { info: infoOf(keyId, context) }));
    } catch (cause) {
      throw new VaultError('key_unwrap_refused', 'the recovery wrap does not open with this key', { cause });
    }
  };
}

async function pairOf(seed: SecretBytes, extractable: boolean) {
  const copy = seed.expose(secretCopy);
  try {
    return await suite.DeriveKeyPair(copy, extractable);
  } finally {
    copy.fill(0);
  }
}

/** LP("weight-vault recovery wrap v1", vaultId, namespace, modelId, versionId, recovery key id). */
function infoOf(keyId: string, { vaultId, namespace, modelId, versionId }: DekContext): Uint8Array {
  return lp('weight-vault recovery wrap v1', vaultId, namespace, modelId, versionId, keyId);
}

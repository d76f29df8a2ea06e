/** KeyProvider: what the vault asks of an HSM or KMS. Suite: test/contract/key-provider.ts. */
import type { ErrorCode } from '../domain/errors.ts';
import type { KeyId } from '../domain/ids.ts';
import type { KekWrap } from '../domain/kek-wrap.ts';
import type { SecretBytes } from '../domain/secret.ts';
import type { SignatureAlgorithm } from '../domain/signature.ts';
import type { WrappedKey } from './wrapped-key.ts';

/** `kek` wraps DEKs and seeds. `catalogue` signs documents, `log` signs log checkpoints, and each nothing else. */
export type KeyPurpose = 'kek' | 'catalogue' | 'log';

export interface KeyRef {
  readonly id: KeyId;
  /** Counts from 1. A key is never replaced: it gets a next version. */
  readonly version: number;
}

export interface KeyInfo {
  readonly ref: KeyRef;
  readonly purpose: KeyPurpose;
  /** DER SubjectPublicKeyInfo of a signing key; absent for a KEK. */
  readonly publicKey?: Uint8Array;
  /** What a signing key signs with: Ed25519 where the provider can; absent for a KEK. */
  readonly algorithm?: SignatureAlgorithm;
  /** How a KEK wraps; absent for a signing key. */
  readonly wrap?: KekWrap;
  /** As read back from the provider: the KEK cannot leave it. */
  readonly extractable: boolean;
}

/** Why a provider cannot serve. */
export const HEALTH_CODES = [
  'pin_incorrect',
  'hsm_unavailable',
  'hsm_token_missing',
  'hsm_token_ambiguous',
  'hsm_token_uninitialized',
  'hsm_mechanism_missing',
  'kms_access_denied',
  'kms_credentials_refused',
  'kms_credentials_expired',
  'kms_throttled',
  'keeper_unavailable',
  'keeper_deadline',
] as const satisfies readonly ErrorCode[];
export type HealthCode = (typeof HEALTH_CODES)[number];

/** The code itself where it is one of health's, else `hsm_unavailable`. */
export function healthCodeOf(code: ErrorCode): HealthCode {
  return HEALTH_CODES.find((one) => one === code) ?? 'hsm_unavailable';
}

export interface KeyProviderHealth {
  readonly ok: boolean;
  /** When not ok. */
  readonly code?: HealthCode;
  /** How much of the provider is in use, where it has a pool of sessions. */
  readonly load?: { readonly sessions: number; readonly busy: number; readonly waiting: number };
}

/** What became of a destroyed key. Absent: it is gone. */
export interface Destroyed {
  /** It cannot be used, but whoever administers the provider can bring it back until then, and nobody after. */
  readonly cancellableUntil?: Date;
}

/** The newest checkpoint of each log, kept beside the keys by a provider that holds data: a PKCS#11 token. */
export interface HeadObjects {
  /** All that is kept for `log`, unverified, in no order: none before the first, two after a crash. `hsm_mechanism_missing`: this provider keeps no data. */
  read(log: string): Promise<readonly Uint8Array[]>;
  /**
   * Durable when it resolves. What states more records stays, and nothing is written. An empty one forgets what is kept, in a ceremony only
   * (`action_denied`). `hsm_mechanism_missing`, `hsm_token_read_only`, `hsm_token_full` where the provider cannot.
   */
  write(log: string, checkpoint: Uint8Array): Promise<void>;
}

/**
 * Every method is one operation against the provider, may be called concurrently, and rejects with a `VaultError`:
 * - retryable (`hsm_unavailable`, `hsm_token_missing`, `key_unavailable`, `kms_throttled`, `kms_credentials_expired`, `keeper_unavailable`,
 *   `keeper_deadline`, `keeper_queue_full`): nothing is known to have happened; the caller may try again. The provider recovers by itself
 *   when the token is back.
 * - `pin_incorrect`: terminal. One wrong PIN is one login attempt; nothing is tried again in the life of this keeper.
 * - `key_disabled`, `key_pending_deletion`, `key_unsuitable`: the key is there and may not be used.
 * - `key_extractable`: the provider could give the key itself away, so it is not used (unless the keeper's configuration allows it).
 * - `key_unknown` is answered only when the provider is healthy and says so. An error is never read as "not there",
 *   and no method creates a key as a side effect.
 */
export interface KeyProvider {
  /** Makes a key inside the provider, non-extractable and sensitive; durable on return. `key_exists` when the ref is taken. Called by ceremonies only. */
  generate(ref: KeyRef, purpose: KeyPurpose): Promise<KeyInfo>;
  describe(ref: KeyRef): Promise<KeyInfo>;
  /**
   * Destroys a KEK: unusable when this resolves, and gone unless the answer says until when it is kept; what it wrapped is then refused as
   * `key_unknown` or `key_pending_deletion`. `key_unknown` when there is none, and for a signing key: those are never destroyed. Asked again
   * while the key is kept, it answers the same.
   */
  destroy(ref: KeyRef): Promise<Destroyed>;
  /** Wraps 16 to 64 secret bytes under `kek`, bound to `aad`. Does not keep or dispose `secret`. */
  wrap(kek: KeyRef, secret: SecretBytes, aad: Uint8Array): Promise<WrappedKey>;
  /** Opens what `wrap` made with the same `aad`, else `key_unwrap_refused` (or `key_context_mismatch` when the blob itself names another context). */
  unwrap(wrapped: WrappedKey, aad: Uint8Array): Promise<SecretBytes>;
  /**
   * Wraps under `to` what `wrapped` holds, without the secret leaving the provider; the new blob was opened once before it is answered, so
   * that the old one may be forgotten. Refuses as `unwrap` and `wrap` do.
   */
  rewrap(wrapped: WrappedKey, aad: Uint8Array, to: KeyRef, toAad: Uint8Array): Promise<WrappedKey>;
  /** Signature over `message`, at most 64 KiB, in the bytes of domain/signature.ts: 64 for Ed25519, DER for ECDSA. */
  sign(ref: KeyRef, message: Uint8Array): Promise<Uint8Array>;
  /** `length` bytes, 1 to 1024, of the provider's own random generator. */
  random(length: number): Promise<Uint8Array>;
  /** Absent: this provider keeps no data. */
  readonly heads?: HeadObjects;
  /** Uses a token object, because an absent token still opens sessions. Never rejects. */
  health(): Promise<KeyProviderHealth>;
  /** Ends the connection; wipes what is cached. The provider's keys stay. */
  close(): Promise<void>;
}

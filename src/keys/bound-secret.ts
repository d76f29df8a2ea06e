/** Tiers 2 and 3 have no AAD, so the secret is wrapped together with the digest of the context it belongs to: secret ‖ SHA-256(AAD). */
import { timingSafeEqual } from 'node:crypto';
import { VaultError } from '../domain/errors.ts';
import { secretCopy, secretRoom } from '../domain/secret.ts';
import { aadDigest } from './wrapped-key.ts';

export const DIGEST_BYTES = 32;
const SECRET_BYTES = { min: 16, max: 64 };

/** The caller owns and wipes the result. */
export function bindSecret(secret: Uint8Array, aad: Uint8Array): Uint8Array {
  const bound = secretRoom(secret.length + DIGEST_BYTES);
  bound.set(secret);
  bound.set(aadDigest(aad), secret.length);
  return bound;
}

/** The secret, as bytes of its own; `bound` is wiped, also when it is refused: `key_unwrap_refused` for any other context or length. */
export function unbindSecret(bound: Uint8Array, aad: Uint8Array): Uint8Array {
  try {
    const end = bound.length - DIGEST_BYTES;
    const fits = end >= SECRET_BYTES.min && end <= SECRET_BYTES.max;
    if (!fits || !timingSafeEqual(bound.subarray(end), aadDigest(aad)))
      throw new VaultError('key_unwrap_refused', 'what was wrapped belongs to another context');
    return secretCopy(bound.subarray(0, end));
  } finally {
    bound.fill(0);
  }
}

/** The signatures the vault believes. Which algorithm it is follows from the key, never from what is signed or who sends it. */
import { type KeyObject, verify } from 'node:crypto';

/** Ed25519 where the HSM has it, else ECDSA on P-256 over SHA-256. */
export const SIGNATURE_ALGORITHMS = ['ed25519', 'ecdsa-p256-sha256'] as const;
export type SignatureAlgorithm = (typeof SIGNATURE_ALGORITHMS)[number];

const ED25519_SIGNATURE_BYTES = 64;

/** Undefined for a key that is of neither kind: nothing is verified with it. */
export function signatureAlgorithmOf(key: KeyObject): SignatureAlgorithm | undefined {
  if (key.asymmetricKeyType === 'ed25519') return 'ed25519';
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'ecdsa-p256-sha256';
  return undefined;
}

/**
 * Ed25519: 64 bytes (RFC 8032). ECDSA: ASN.1 DER of r and s (RFC 3279 section 2.2.3) in its one encoding, 8 to 72 bytes; OpenSSL refuses
 * every other spelling. Of the two values s and n - s both verify, as everywhere: a signature is not an identity, the digest is.
 */
export function verifySignature(key: KeyObject, message: Uint8Array, signature: Uint8Array): boolean {
  switch (signatureAlgorithmOf(key)) {
    case 'ed25519':
      return signature.length === ED25519_SIGNATURE_BYTES && verify(null, message, key, signature);
    case 'ecdsa-p256-sha256':
      return verify('sha256', message, { key, dsaEncoding: 'der' }, signature);
    case undefined:
      return false;
  }
}

/** From a version's DEK to the key and AAD of one object. The bytes are binding: docs/formats/sealed-object.md, "Keys". */
import { lp } from '../domain/bytes.ts';
import { SecretBytes } from '../domain/secret.ts';
import { hkdfExpandSha384 } from './kdf.ts';
import { requireKey } from './segment-keys.ts';
import { FLOE } from './suites.ts';

/**
 * HKDF-Expand-SHA-384(DEK, LP("weight-vault object key v1", versionId, path), 32). The caller disposes the result.
 * A DEK that is not 32 bytes is refused: `sealed_key_invalid`.
 */
export function objectKey(dek: SecretBytes, versionId: string, path: string): SecretBytes {
  requireKey(dek);
  const info = lp('weight-vault object key v1', versionId, path);
  return new SecretBytes(dek.expose((bytes) => hkdfExpandSha384(bytes, [info], FLOE.keyBytes)));
}

/** The FLOE AAD of an object: LP("weight-vault object v1", namespace, versionId, path). */
export function floeAad(namespace: string, versionId: string, path: string): Uint8Array {
  return lp('weight-vault object v1', namespace, versionId, path);
}

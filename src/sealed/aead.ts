/** AES-256-GCM from buffer to buffer. Native code that opens in place would replace this file and nothing else. */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { giveBack } from '../domain/memory.ts';
import { FLOE } from './suites.ts';

const AEAD = 'aes-256-gcm';

/**
 * Bytes per `update`; node gives each one a new Buffer, so this bounds what is allocated at a time, and each goes back as soon as it was copied.
 * In a stream 64 KiB, 256 KiB and a whole segment that is handed on without a copy cost the same (docs/benchmarks.md).
 */
const SLICE_BYTES = 64 * 1024;

/** Seals `plaintext` into `into` (same length) and writes the 16-byte tag into `tag`. */
export function aeadSeal(key: Uint8Array, iv: Uint8Array, aad: Uint8Array, plaintext: Uint8Array, into: Uint8Array, tag: Uint8Array): void {
  const cipher = createCipheriv(AEAD, key, iv, { authTagLength: FLOE.aeadTagBytes });
  cipher.setAAD(aad);
  transform(cipher, plaintext, into);
  cipher.final();
  tag.set(cipher.getAuthTag());
}

/** Opens `ciphertext` into `into` (same length). False when the tag does not verify; then `into` holds only zeros. */
export function aeadOpen(
  key: Uint8Array,
  iv: Uint8Array,
  aad: Uint8Array,
  ciphertext: Uint8Array,
  tag: Uint8Array,
  into: Uint8Array,
): boolean {
  const decipher = createDecipheriv(AEAD, key, iv, { authTagLength: FLOE.aeadTagBytes });
  decipher.setAAD(aad);
  decipher.setAuthTag(tag);
  transform(decipher, ciphertext, into);
  try {
    decipher.final();
    return true;
  } catch {
    into.fill(0);
    return false;
  }
}

function transform(cipher: { update(data: Uint8Array): Uint8Array }, from: Uint8Array, into: Uint8Array): void {
  for (let at = 0; at < from.length; at += SLICE_BYTES) {
    const out = cipher.update(from.subarray(at, at + SLICE_BYTES));
    into.set(out, at);
    giveBack(out);
  }
}

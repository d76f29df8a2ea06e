/** HKDF-Expand with SHA-384 (RFC 5869 section 2.3), and FLOE_KDF over it. `crypto.hkdf` is Extract and Expand: other bytes. */
import { createHmac } from 'node:crypto';

import { secretCopy } from '../domain/secret.ts';

const SHA384_BYTES = 48;
const FIRST_BLOCK = Uint8Array.of(1);

/**
 * HKDF-Expand-SHA-384(prk, info parts concatenated, length). One block, T(1) = HMAC(prk, info || 0x01), is all this format
 * ever asks for: `length` is 1 to 48 bytes, anything else is a RangeError. The caller owns and wipes the result.
 */
export function hkdfExpandSha384(prk: Uint8Array, info: readonly Uint8Array[], length: number): Uint8Array {
  if (!Number.isInteger(length) || length < 1 || length > SHA384_BYTES) throw new RangeError('hkdfExpandSha384 makes 1 to 48 bytes');
  const hmac = createHmac('sha384', prk);
  for (const part of info) hmac.update(part);
  const block = hmac.update(FIRST_BLOCK).digest();
  const out = secretCopy(block.subarray(0, length));
  block.fill(0);
  return out;
}

/** What every FLOE_KDF call of one object shares: PARAM_ENCODE(params) || iv, and the AAD. */
export interface KdfContext {
  readonly prefix: Uint8Array;
  readonly aad: Uint8Array;
}

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const HEADER_TAG = ascii('HEADER_TAG:');
const MESSAGE_KEY = ascii('MESSAGE_KEY:');
const DEK = ascii('DEK:');

/** FLOE_KDF(key, iv, aad, purpose, length) of FLOE "Internal Functions". */
function floeKdf(key: Uint8Array, context: KdfContext, purpose: readonly Uint8Array[], length: number): Uint8Array {
  return hkdfExpandSha384(key, [context.prefix, ...purpose, context.aad], length);
}

export function deriveHeaderTag(key: Uint8Array, context: KdfContext, length: number): Uint8Array {
  return floeKdf(key, context, [HEADER_TAG], length);
}

export function deriveMessageKey(key: Uint8Array, context: KdfContext, length: number): Uint8Array {
  return floeKdf(key, context, [MESSAGE_KEY], length);
}

/** DERIVE_KEY for the window that starts at `maskedPosition`, given as 8 big-endian bytes. */
export function deriveSegmentKey(messageKey: Uint8Array, context: KdfContext, maskedPosition: Uint8Array, length: number): Uint8Array {
  return floeKdf(messageKey, context, [DEK, maskedPosition], length);
}

/** The 74-byte header: PARAM_ENCODE(params) 10, IV 32, header tag 32 (FLOE "FLOE Ciphertext Layout"). */
import { timingSafeEqual } from 'node:crypto';
import { concat } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import type { SecretBytes } from '../domain/secret.ts';
import { deriveHeaderTag, type KdfContext } from './kdf.ts';
import { FLOE, isSegmentBytes } from './suites.ts';

/** What a reader insists on before it looks at the tag. Both are ENC_SEG_LEN, bytes. */
export interface HeaderExpectation {
  /** When given, a header that states another ENC_SEG_LEN is refused: `sealed_parameters`. */
  readonly segmentBytes?: number | undefined;
  /** The largest accepted; 64 MiB of plaintext by default. */
  readonly segmentLimitBytes?: number | undefined;
}

/** A header whose parameters we support. Nothing in it is authentic before `verifyHeader`. */
export interface SealedHeader {
  /** ENC_SEG_LEN, bytes; within the limits of suites.ts. */
  readonly segmentBytes: number;
  readonly iv: Uint8Array;
  readonly tag: Uint8Array;
}

const IV_AT = FLOE.parameterBytes;
const TAG_AT = IV_AT + FLOE.ivBytes;

/** PARAM_ENCODE for `segmentBytes`: 10 bytes. */
export function encodeParameters(segmentBytes: number): Uint8Array {
  const out = new Uint8Array(FLOE.parameterBytes);
  const view = new DataView(out.buffer);
  view.setUint8(0, FLOE.aeadId);
  view.setUint8(1, FLOE.kdfId);
  view.setUint32(2, segmentBytes);
  view.setUint32(6, FLOE.ivBytes);
  return out;
}

/**
 * Reads the first 74 bytes of `bytes`, copying what it returns. Refuses `sealed_header_truncated` when there are fewer, and
 * `sealed_parameters` for another AEAD, KDF or IV length, or a segment length outside the limits or not the expected one.
 */
export function parseHeader(bytes: Uint8Array, expected: HeaderExpectation = {}): SealedHeader {
  if (bytes.length < FLOE.headerBytes) throw new VaultError('sealed_header_truncated', `${bytes.length} of ${FLOE.headerBytes} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, FLOE.headerBytes);
  if (view.getUint8(0) !== FLOE.aeadId) throw new VaultError('sealed_parameters', `AEAD id ${view.getUint8(0)}`);
  if (view.getUint8(1) !== FLOE.kdfId) throw new VaultError('sealed_parameters', `KDF id ${view.getUint8(1)}`);
  if (view.getUint32(6) !== FLOE.ivBytes) throw new VaultError('sealed_parameters', `IV length ${view.getUint32(6)}`);
  const segmentBytes = view.getUint32(2);
  if (!isSegmentBytes(segmentBytes, expected.segmentLimitBytes)) {
    throw new VaultError('sealed_parameters', `segment length ${segmentBytes}`);
  }
  if (expected.segmentBytes !== undefined && segmentBytes !== expected.segmentBytes) {
    throw new VaultError('sealed_parameters', `segment length ${segmentBytes}, expected ${expected.segmentBytes}`);
  }
  return { segmentBytes, iv: copy(bytes.subarray(IV_AT, TAG_AT)), tag: copy(bytes.subarray(TAG_AT, FLOE.headerBytes)) };
}

export function kdfContext(segmentBytes: number, iv: Uint8Array, aad: Uint8Array): KdfContext {
  return { prefix: concat(encodeParameters(segmentBytes), iv), aad: copy(aad) };
}

/** PARAM_ENCODE || iv || HEADER_TAG for a context: the 74 bytes. */
export function makeHeader(key: SecretBytes, context: KdfContext): Uint8Array {
  return concat(context.prefix, headerTag(key, context));
}

/** Refuses `sealed_header_tag` unless the tag was made with this key, AAD, IV and these parameters. Constant-time comparison. */
export function verifyHeader(key: SecretBytes, context: KdfContext, tag: Uint8Array): void {
  const expected = headerTag(key, context);
  const same = timingSafeEqual(expected, tag);
  expected.fill(0);
  if (!same) throw new VaultError('sealed_header_tag');
}

function headerTag(key: SecretBytes, context: KdfContext): Uint8Array {
  return key.expose((bytes) => deriveHeaderTag(bytes, context, FLOE.headerTagBytes));
}

/** A copy for certain: `slice` of a Buffer would be a view of memory that its owner reuses. */
function copy(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

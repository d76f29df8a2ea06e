/**
 * The one table of sealed-object parameters. A sealed object is a FLOE ciphertext (c2sp.org/FLOE); everything but the segment
 * length is fixed by that specification. All lengths are bytes. Format with an example: docs/formats/sealed-object.md.
 */
export const FLOE = {
  /** AES-256-GCM. */
  aeadId: 0,
  /** HKDF-Expand-SHA-384. */
  kdfId: 0,
  keyBytes: 32,
  /** The message key, which is a KDF key: one SHA-384 output. */
  kdfKeyBytes: 48,
  ivBytes: 32,
  /** aead id 1, kdf id 1, segment length 4, IV length 4. */
  parameterBytes: 10,
  headerTagBytes: 32,
  headerBytes: 74,
  lengthFieldBytes: 4,
  aeadIvBytes: 12,
  aeadTagBytes: 16,
  /** Length field, AEAD IV and AEAD tag: what a segment adds to its plaintext. */
  segmentOverheadBytes: 32,
  /** AEAD_MAX_SEGMENTS; positions run from 0 to this minus one. */
  maxSegments: 2 ** 40,
  /** A new AEAD key every 2^20 segments. Not in the header: both sides know it. */
  rotationMask: 20,
} as const;

/** The length field of every segment that is not the last. */
export const INTERNAL_SEGMENT = 0xffff_ffff;

/** Production ENC_SEG_LEN: a segment's plaintext is exactly 1 MiB, which divides every request unit real clients use. */
export const PRODUCTION_SEGMENT_BYTES = 1024 * 1024 + FLOE.segmentOverheadBytes;

/** The smallest ENC_SEG_LEN with which a stream of internal segments makes progress: one byte of plaintext each. */
export const MIN_SEGMENT_BYTES = FLOE.segmentOverheadBytes + 1;

/**
 * The largest ENC_SEG_LEN we seal or open unless told otherwise: 64 MiB of plaintext. A segment is the unit of memory per stream, and
 * the header is read before it is trusted, so this is what stops four bytes of a file from asking for 4 GiB.
 */
export const MAX_SEGMENT_BYTES = 64 * 1024 * 1024 + FLOE.segmentOverheadBytes;

/** The largest that FLOE itself can state; the next number marks a segment that is not the last. For a tool that takes any FLOE file. */
export const FLOE_MAX_SEGMENT_BYTES = INTERNAL_SEGMENT - 1;

/** The rotation mask is a number of low bits of a 64-bit position. */
export const MAX_ROTATION_MASK = 63;

export function isSegmentBytes(value: number, limitBytes: number = MAX_SEGMENT_BYTES): boolean {
  return Number.isSafeInteger(value) && value >= MIN_SEGMENT_BYTES && value <= limitBytes;
}

export function isRotationMask(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= MAX_ROTATION_MASK;
}

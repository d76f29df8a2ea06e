/** Where things are in an object of known length. Offsets and lengths are bytes; all arithmetic stays exact below 2^53. */
import { VaultError } from '../domain/errors.ts';
import { FLOE, PRODUCTION_SEGMENT_BYTES } from './suites.ts';

/** Plaintext bytes of a full segment. */
export function segmentPlaintextBytes(segmentBytes: number = PRODUCTION_SEGMENT_BYTES): number {
  return segmentBytes - FLOE.segmentOverheadBytes;
}

/** Segments of an object with `plaintextBytes` of plaintext; an empty object has one, empty and final. Refuses `sealed_too_long`. */
export function segmentCount(plaintextBytes: number, segmentBytes: number = PRODUCTION_SEGMENT_BYTES): number {
  requireOffset(plaintextBytes);
  const segments = Math.max(1, Math.ceil(plaintextBytes / segmentPlaintextBytes(segmentBytes)));
  if (segments > FLOE.maxSegments) throw new VaultError('sealed_too_long');
  return segments;
}

/** Length of the whole sealed object, header included. Refuses `sealed_too_long`. */
export function ciphertextBytes(plaintextBytes: number, segmentBytes: number = PRODUCTION_SEGMENT_BYTES): number {
  const total = FLOE.headerBytes + plaintextBytes + segmentCount(plaintextBytes, segmentBytes) * FLOE.segmentOverheadBytes;
  requireOffset(total);
  return total;
}

/** The segment that holds plaintext byte `offset`. */
export function segmentOf(offset: number, segmentBytes: number = PRODUCTION_SEGMENT_BYTES): number {
  requireOffset(offset);
  return Math.floor(offset / segmentPlaintextBytes(segmentBytes));
}

/** Where segment `n` starts in the sealed object. */
export function segmentOffset(n: number, segmentBytes: number = PRODUCTION_SEGMENT_BYTES): number {
  const offset = FLOE.headerBytes + n * segmentBytes;
  requireOffset(offset);
  return offset;
}

/** Encrypted length of segment `n` of an object with `plaintextBytes` of plaintext. */
export function segmentLength(n: number, plaintextBytes: number, segmentBytes: number = PRODUCTION_SEGMENT_BYTES): number {
  const rest = plaintextBytes - n * segmentPlaintextBytes(segmentBytes);
  return Math.min(rest + FLOE.segmentOverheadBytes, segmentBytes);
}

function requireOffset(value: number): void {
  if (!Number.isInteger(value) || value < 0) throw new RangeError('a length or offset is a non-negative integer');
  if (value > Number.MAX_SAFE_INTEGER) throw new VaultError('sealed_too_long');
}

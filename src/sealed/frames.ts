/** Cuts the body of a sealed object into segments by their own length fields, in order, without a key. Nothing here is authentic. */
import { VaultError } from '../domain/errors.ts';
import type { ChunkReader } from './chunks.ts';
import { lengthField, type SegmentOpener } from './segment.ts';
import { FLOE, INTERNAL_SEGMENT } from './suites.ts';

export interface Frame {
  /** The whole encrypted segment; valid until the next frame is asked for. */
  readonly segment: Uint8Array;
  readonly position: number;
  readonly isFinal: boolean;
  /** Bytes follow this final segment: either it lies about its length, or something was appended. */
  readonly followed: boolean;
}

/** Of one whole segment, bytes. `followed` as in `Frame`. */
export interface FrameLength {
  readonly length: number;
  readonly followed: boolean;
}

/**
 * The segments up to and including the final one. Refuses `sealed_truncated` when the input ends first, and
 * `sealed_segment_length` for a final length below 32 or above `segmentBytes`.
 */
export async function* frames(reader: ChunkReader, segmentBytes: number): AsyncGenerator<Frame, void, void> {
  for (let position = 0; ; position += 1) {
    const { piece, ends } = await reader.takeLooking(segmentBytes);
    if (piece.length < FLOE.lengthFieldBytes) throw new VaultError('sealed_truncated');
    const { length, isFinal } = lengthOf(piece, segmentBytes);
    if (piece.length < length) throw new VaultError('sealed_truncated');
    yield { segment: piece.subarray(0, length), position, isFinal, followed: isFinal && (!ends || piece.length > length) };
    if (isFinal) return;
  }
}

/** As `frames`, with the same refusals, but holds no segment: for a header that nothing vouches for. */
export async function* frameLengths(reader: ChunkReader, segmentBytes: number): AsyncGenerator<FrameLength, void, void> {
  for (;;) {
    const field = await reader.take(FLOE.lengthFieldBytes);
    if (field.length < FLOE.lengthFieldBytes) throw new VaultError('sealed_truncated');
    const { length, isFinal } = lengthOf(field, segmentBytes);
    const rest = length - FLOE.lengthFieldBytes;
    if ((await reader.skip(rest)) < rest) throw new VaultError('sealed_truncated');
    yield { length, followed: isFinal && !(await reader.ends()) };
    if (isFinal) return;
  }
}

/** What the length field at the start of a segment says. */
function lengthOf(segment: Uint8Array, segmentBytes: number): { length: number; isFinal: boolean } {
  const stated = lengthField(segment);
  if (stated === INTERNAL_SEGMENT) return { length: segmentBytes, isFinal: false };
  if (stated < FLOE.segmentOverheadBytes || stated > segmentBytes) throw new VaultError('sealed_segment_length');
  return { length: stated, isFinal: true };
}

/**
 * Opens a frame into `into`; returns the plaintext length. When bytes follow the final segment: `sealed_trailing_bytes` if the
 * segment is authentic, `sealed_segment_length` if it is not, for then its length field is what was altered. `into` is wiped.
 */
export function openFrame(opener: SegmentOpener, frame: Frame, into: Uint8Array): number {
  try {
    const bytes = opener.openSegment(frame.segment, frame.position, frame.isFinal, into);
    if (!frame.followed) return bytes;
    into.fill(0, 0, bytes);
  } catch (error) {
    if (!frame.followed || !(error instanceof VaultError && error.code === 'sealed_segment_tag')) throw error;
    throw new VaultError('sealed_segment_length', `segment ${frame.position}`, { cause: error });
  }
  throw new VaultError('sealed_trailing_bytes');
}

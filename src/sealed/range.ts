/** Any part of an object of trusted length, every touched segment authenticated (FLOE random access). */
import { VaultError } from '../domain/errors.ts';
import { type ByteChunks, ChunkReader } from './chunks.ts';
import { segmentCount, segmentLength, segmentOf, segmentOffset, segmentPlaintextBytes } from './layout.ts';
import type { SegmentOpener } from './segment.ts';

/** Plaintext bytes `start` (inclusive) to `end` (exclusive). */
export interface PlaintextRange {
  readonly start: number;
  readonly end: number;
}

/** Whole neighbouring segments, and where their bytes lie in the sealed object (the 74-byte header included in `offset`). */
export interface SegmentSpan {
  readonly firstSegment: number;
  readonly segments: number;
  readonly offset: number;
  readonly bytes: number;
}

/** Where ciphertext comes from. It is not trusted: whatever it returns is authenticated. */
export interface SegmentSource {
  /** The bytes of `span` in order, cut anywhere; fewer mean truncation. A chunk need only stay unchanged until the next pull. */
  read(span: SegmentSpan, signal?: AbortSignal): ByteChunks;
}

export interface OpenRangeOptions {
  /** Made with the header from the signed manifest. Lent, not disposed; several ranges may share it. */
  readonly opener: SegmentOpener;
  /** Plaintext length of the object from the signed manifest, never from the file: it decides which segment is the last. */
  readonly plaintextBytes: number;
  readonly range: PlaintextRange;
  readonly source: SegmentSource;
  /** Checked before every segment and passed to the source; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** Yield parts of one and the same buffer: a chunk is then valid only until the next pull, and wiped at the end. */
  readonly reuseBuffer?: boolean | undefined;
}

/** The segments that `range` touches. Refuses `sealed_range` unless 0 <= start <= end <= `plaintextBytes`, all integers. */
export function spanOf(range: PlaintextRange, plaintextBytes: number, segmentBytes: number): SegmentSpan {
  const { start, end } = range;
  if (!(Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start <= end && end <= plaintextBytes)) {
    throw new VaultError('sealed_range');
  }
  const lastOfObject = segmentCount(plaintextBytes, segmentBytes) - 1;
  const first = Math.min(segmentOf(start, segmentBytes), lastOfObject);
  const last = Math.min(segmentOf(Math.max(start, end - 1), segmentBytes), lastOfObject);
  const offset = segmentOffset(first, segmentBytes);
  const bytes = segmentOffset(last, segmentBytes) + segmentLength(last, plaintextBytes, segmentBytes) - offset;
  return { firstSegment: first, segments: last - first + 1, offset, bytes };
}

/**
 * Yields exactly the bytes of `range`, at most one segment's worth at a time, each only after its whole segment verified. An
 * empty range yields nothing, yet reads and verifies the segment it lies in: so reading all of an empty object proves that it is
 * empty. Refuses `sealed_range`, `sealed_segment_length`, `sealed_segment_tag`, and `sealed_truncated` when the source ends early.
 */
export async function* openRange(options: OpenRangeOptions): AsyncGenerator<Uint8Array, void, void> {
  const { opener, plaintextBytes, range, source, signal } = options;
  const room = segmentPlaintextBytes(opener.segmentBytes);
  const span = spanOf(range, plaintextBytes, opener.segmentBytes);
  const lastOfObject = segmentCount(plaintextBytes, opener.segmentBytes) - 1;
  const reader = new ChunkReader(source.read(span, signal));
  const lengthOf = (position: number) => segmentLength(position, plaintextBytes, opener.segmentBytes);
  const take = (position: number) => {
    const taken = reader.take(lengthOf(position));
    taken.catch(() => undefined); // told when it is waited for; when the reader stops before, nobody asks
    return taken;
  };
  const after = span.firstSegment + span.segments;
  let into: Uint8Array | undefined;
  try {
    let taken = take(span.firstSegment);
    for (let position = span.firstSegment; position < after; position += 1) {
      signal?.throwIfAborted();
      const segment = await taken;
      if (segment.length < lengthOf(position)) throw new VaultError('sealed_truncated', `segment ${position}`);
      if (into === undefined || options.reuseBuffer !== true) into = Buffer.allocUnsafeSlow(room);
      const bytes = opener.openSegment(segment, position, position === lastOfObject, into);
      if (position + 1 < after) taken = take(position + 1); // read while this one leaves, into the memory of what was just opened
      const from = Math.max(range.start - position * room, 0);
      const to = Math.min(range.end - position * room, bytes);
      if (to > from) yield into.subarray(from, to);
    }
  } finally {
    if (options.reuseBuffer === true) into?.fill(0);
    await reader.close();
  }
}

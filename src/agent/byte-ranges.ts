/** Sets of byte ranges of one file: sorted, apart from each other, `end` not included. */

export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** The same bytes, sorted and joined where they touch or overlap. */
export function joinRanges(ranges: readonly ByteRange[]): ByteRange[] {
  const joined: ByteRange[] = [];
  for (const next of ranges.filter(({ start, end }) => start < end).sort((a, b) => a.start - b.start)) {
    const last = joined.at(-1);
    if (last !== undefined && next.start <= last.end) joined[joined.length - 1] = { start: last.start, end: Math.max(last.end, next.end) };
    else joined.push(next);
  }
  return joined;
}

export function countBytes(ranges: readonly ByteRange[]): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start, 0);
}

/**
 * What of `size` bytes is in none of the (joined) `ranges`, in pieces of at most `pieceBytes`. One at a time: the size is whatever the
 * vault said it is, and makes no list of ours.
 */
export function* missingPieces(ranges: readonly ByteRange[], size: number, pieceBytes: number): Generator<ByteRange, void> {
  let at = 0;
  for (const { start, end } of [...ranges, { start: size, end: size }]) {
    for (; at < start; at += pieceBytes) yield { start: at, end: Math.min(start, at + pieceBytes) };
    at = end;
  }
}

/** Ciphertext segments out of stored units. Unit k holds segments 64k to 64k+63; unit 0 starts with the 74-byte header. */
import type { BlobStore } from '../blobs/port.ts';
import { VaultError } from '../domain/errors.ts';
import { type ManifestObject, SEGMENTS_PER_UNIT, type Unit } from '../domain/model.ts';
import { ciphertextBytes, segmentOffset } from '../sealed/layout.ts';
import type { SegmentSource, SegmentSpan } from '../sealed/range.ts';

/** Nothing it returns is trusted: the opener authenticates every segment. */
export function segmentSource(object: ManifestObject, segmentBytes: number, blobs: BlobStore): SegmentSource {
  return {
    async *read(span: SegmentSpan, signal: AbortSignal = new AbortController().signal) {
      const end = span.offset + span.bytes;
      for (const [index, unit] of object.units.entries()) {
        const unitStart = index === 0 ? 0 : segmentOffset(index * SEGMENTS_PER_UNIT, segmentBytes);
        const from = Math.max(span.offset, unitStart);
        const to = Math.min(end, unitStart + unit.bytes);
        if (from < to) yield* blobs.read(unit.ciphertextSha256, { start: from - unitStart, end: to - unitStart }, signal);
      }
    },
  };
}

/** Throws `manifest_mismatch` unless the units hold exactly the ciphertext of `size` plaintext bytes. */
export function assertUnits(size: number, units: readonly Unit[], segmentBytes: number): void {
  const total = units.reduce((sum, unit) => sum + unit.bytes, 0);
  if (total !== ciphertextBytes(size, segmentBytes)) throw new VaultError('manifest_mismatch', 'the units are not the whole object');
}

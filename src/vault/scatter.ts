/** Who reads a file in small pieces here and there, and half of it by now, is copying it past whoever counts whole files. */
import type { ByteRange } from '../blobs/port.ts';
import type { RecordedPermit } from '../domain/access.ts';
import { LruMap } from '../domain/lru-map.ts';
import type { ManifestObject } from '../domain/model.ts';

/** A range below this is a small one. */
export const SMALL_RANGE_BYTES = 1_048_576;

interface Reading {
  readonly end: number;
  readonly scattered: number;
  readonly told: boolean;
}

/** Of this process, by release and path. */
const readings = new LruMap<string, Reading>(10_000);

export function isSmall({ start, end }: ByteRange, { size }: ManifestObject): boolean {
  return end - start < SMALL_RANGE_BYTES && end - start < size;
}

/** True once: when small ranges that do not begin where the one before ended make more than half of the file. */
export function scatters({ releaseId }: RecordedPermit, object: ManifestObject, range: ByteRange): boolean {
  const key = `${releaseId} ${object.path}`;
  const before = readings.get(key) ?? { end: 0, scattered: 0, told: false };
  const apart = isSmall(range, object) && range.start !== before.end;
  const scattered = before.scattered + (apart ? range.end - range.start : 0);
  const tells = !before.told && scattered * 2 > object.size;
  readings.set(key, { end: range.end, scattered, told: before.told || tells });
  return tells;
}

/** Counts how releases began and ended, while a log is being verified. */
import { parseLeaf } from './leaf.ts';

export interface ReleaseCount {
  readonly begin: number;
  readonly end: number;
  readonly unknown: number;
  /** Begun, and not ended by any record yet. */
  readonly live: number;
}

/** In every leaf that begins or ends a release, as the vault writes it. Most others need not be parsed. */
const OF_RELEASE = Buffer.from('"type":"release.');

/** Memory grows with the releases that are live at once, not with the log. */
export function createReleaseCount(): { add(leaf: Uint8Array): void; total(): ReleaseCount } {
  const live = new Set<string>();
  const count = { begin: 0, end: 0, unknown: 0 };
  return {
    add(leaf) {
      if (!Buffer.from(leaf.buffer, leaf.byteOffset, leaf.length).includes(OF_RELEASE)) return;
      const { type, recordId, begin } = parseLeaf(leaf);
      if (type === 'release.begin') {
        count.begin++;
        if (recordId !== undefined) live.add(recordId);
      } else if (type === 'release.end' || type === 'release.unknown') {
        count[type === 'release.end' ? 'end' : 'unknown']++;
        if (begin !== undefined) live.delete(begin);
      }
    },
    total: () => ({ ...count, live: live.size }),
  };
}

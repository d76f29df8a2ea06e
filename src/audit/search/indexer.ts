/** Fills the search index from the log, each record once. */
import type { LogReader } from '../follower.ts';
import type { LeafRow } from '../port.ts';
import { searchEntry } from './entry.ts';
import type { SearchEntry, SearchStore } from './port.ts';

/** Records at a time: a batch holds the store for some milliseconds, and releases wait for that. */
export const INDEX_BATCH = 128;
/** After a rebuild: each page of the index is then written about half as often. A batch holds the store for some 25 ms of a core. */
export const INDEX_BEHIND = { records: 16_384, batch: 512 } as const;

/** Rows at a time, when it is made anew: each is overwritten, and releases wait for that some milliseconds. */
const CLEAR_ROWS = 4_096;

/** Leaves are parsed before the transaction begins. */
export function searchReader(search: SearchStore): LogReader {
  const parsed = new WeakMap<readonly LeafRow[], readonly SearchEntry[]>();
  return {
    deliver: async (leaves) => void parsed.set(leaves, leaves.map(searchEntry)),
    makeRoom: (tx) => search.clear(tx, CLEAR_ROWS),
    apply: (tx, leaves) => search.add(tx, parsed.get(leaves) ?? leaves.map(searchEntry)),
  };
}

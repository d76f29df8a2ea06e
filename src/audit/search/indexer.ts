/** Fills the search index from the log, each record once. */
import type { LogReader } from '../follower.ts';
import { searchEntry } from './entry.ts';
import type { SearchStore } from './port.ts';

/** Records at a time: a batch holds the store for some milliseconds, and releases wait for that. */
export const INDEX_BATCH = 128;

export function searchReader(search: SearchStore): LogReader {
  return { apply: (tx, leaves) => search.add(tx, leaves.map(searchEntry)) };
}

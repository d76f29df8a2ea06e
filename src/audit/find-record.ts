/** Finding one record in a copy of the log. What is found is proven by a proof, not by where it lay. */
import { VaultError } from '../domain/errors.ts';
import type { RecordId } from '../domain/ids.ts';
import { decodeEntries } from './bundle.ts';
import { parseCheckpoint } from './checkpoint.ts';
import { parseLeaf } from './leaf.ts';
import { parseNote } from './note.ts';
import { allTiles, TILE_WIDTH, tilePath } from './tile-path.ts';
import type { LogSource } from './verify.ts';

export interface FoundRecord {
  readonly index: number;
  readonly leaf: Uint8Array;
}

/** `log_incomplete` when the copy does not hold such a record. */
export async function findRecord(source: LogSource, recordId: RecordId): Promise<FoundRecord> {
  const { size } = parseCheckpoint(parseNote(await source.checkpoint()).text);
  for (const tile of allTiles(size)) {
    if (tile.level !== 'entries') continue;
    const bytes = await source.tile(tilePath(tile));
    if (bytes === undefined) continue; // pruned, or missing: `wv log verify` tells which
    const { entries } = decodeEntries(bytes, tile.width);
    const at = entries.findIndex((leaf) => parseLeaf(leaf).recordId === recordId);
    const leaf = entries[at];
    if (leaf !== undefined) return { index: tile.index * TILE_WIDTH + at, leaf };
  }
  throw new VaultError('log_incomplete', `the copy has no record ${recordId}`);
}

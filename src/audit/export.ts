/** Copies the log at one head, so that anyone can verify it with public tools and without the vault. */
import { VaultError } from '../domain/errors.ts';
import type { TreeSize } from '../domain/ids.ts';
import { parseCheckpoint } from './checkpoint.ts';
import { parseNote } from './note.ts';
import { allTiles, TILE_WIDTH, tilePath } from './tile-path.ts';
import type { LogSource } from './verify.ts';

/** Where the copy goes: a folder, an archive, a bucket. Paths are `checkpoint` and C2SP tile paths. */
export interface LogWriter {
  write(path: string, bytes: Uint8Array): Promise<void>;
}

export interface Copied {
  readonly size: TreeSize;
  /** Files written besides the checkpoint. */
  readonly tiles: number;
}

/**
 * Tiles never change under their path, so one checkpoint and many reads make a consistent copy of a log that goes on growing.
 * The checkpoint is written last: a copy that has one is complete. Nothing is verified here; `verifyLog` does that to the copy.
 * A full bundle that the source does not have is left out: pruned, or else the verifier says so. `log_incomplete` when a tile is missing. Without
 * `entries` it proves records and holds none.
 */
export async function copyLog(
  source: LogSource,
  writer: LogWriter,
  { entries = true }: { readonly entries?: boolean } = {},
): Promise<Copied> {
  const checkpoint = await source.checkpoint();
  const { size } = parseCheckpoint(parseNote(checkpoint).text);
  let tiles = 0;
  for (const tile of allTiles(size)) {
    if (tile.level === 'entries' && !entries) continue;
    const path = tilePath(tile);
    const bytes = await source.tile(path);
    if (bytes === undefined && tile.level === 'entries' && tile.width === TILE_WIDTH) continue;
    if (bytes === undefined) throw new VaultError('log_incomplete', `${path} is missing`);
    await writer.write(path, bytes);
    tiles++;
  }
  await writer.write('checkpoint', checkpoint);
  return { size, tiles };
}

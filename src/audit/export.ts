/** Copies the log at one head, so that anyone can verify it with public tools and without the vault. */
import { VaultError } from '../domain/errors.ts';
import type { TreeSize } from '../domain/ids.ts';
import type { UnitOfWork } from '../domain/unit-of-work.ts';
import { parseCheckpoint } from './checkpoint.ts';
import { parseNote } from './note.ts';
import type { LogStore } from './port.ts';
import { allTiles, tilePath } from './tile-path.ts';
import type { LogSource } from './verify.ts';

/** Where the copy goes: a folder, an archive, a bucket. Paths are `checkpoint` and C2SP tile paths. */
export interface LogWriter {
  write(path: string, bytes: Uint8Array): Promise<void>;
}

export interface LogReader {
  readonly unitOfWork: UnitOfWork;
  readonly log: Pick<LogStore, 'head' | 'tile'>;
}

export interface Copied {
  readonly size: TreeSize;
  /** Files written besides the checkpoint. */
  readonly tiles: number;
}

/** `log_incomplete` when nothing was published yet or a tile is missing. */
export function exportLog({ unitOfWork, log }: LogReader, writer: LogWriter): Promise<Copied> {
  const source: LogSource = {
    async checkpoint() {
      const head = await unitOfWork.run((tx) => log.head(tx));
      if (head === undefined) throw new VaultError('log_incomplete', 'no checkpoint was published yet');
      return head.checkpoint;
    },
    tile: (path) => unitOfWork.run((tx) => log.tile(tx, path)),
  };
  return copyLog(source, writer);
}

/**
 * Tiles never change under their path, so one checkpoint and many reads make a consistent copy of a log that goes on growing.
 * The checkpoint is written last: a copy that has one is complete. Nothing is verified here; `verifyLog` does that to the copy.
 */
export async function copyLog(source: LogSource, writer: LogWriter): Promise<Copied> {
  const checkpoint = await source.checkpoint();
  const { size } = parseCheckpoint(parseNote(checkpoint).text);
  let tiles = 0;
  for (const tile of allTiles(size)) {
    const path = tilePath(tile);
    const bytes = await source.tile(path);
    if (bytes === undefined) throw new VaultError('log_incomplete', `${path} is missing`);
    await writer.write(path, bytes);
    tiles++;
  }
  await writer.write('checkpoint', checkpoint);
  return { size, tiles };
}

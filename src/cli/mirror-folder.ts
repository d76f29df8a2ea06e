/** A mirror in a folder, or on anything mounted as one: nothing that is there is changed but `checkpoint`, which is replaced whole. */
import { access, link, mkdir, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { writing } from '../agent/target-folder.ts';
import { replaceFile, syncFolder, writeDurably } from '../audit/durable-file.ts';
import type { MirrorStore } from '../audit/mirror.ts';
import { equalBytes } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { copyIn } from './log-source.ts';

export function mirrorFolder(folder: string): MirrorStore {
  const read = copyIn(folder).tile;
  return {
    read,
    has: (path) =>
      access(join(folder, path)).then(
        () => true,
        () => false,
      ),
    add: (path, bytes) => writing(addFile(folder, path, bytes, read), path),
    point: (checkpoint) => writing(replaceFile(join(folder, 'checkpoint'), checkpoint), 'checkpoint'),
  };
}

/** Under its name only whole, and only when nothing has the name: a link does not replace. */
async function addFile(folder: string, path: string, bytes: Uint8Array, read: MirrorStore['read']): Promise<boolean> {
  const kept = await read(path);
  if (kept !== undefined) {
    if (equalBytes(kept, bytes)) return false;
    throw new VaultError('log_conflict', `${path} of this mirror is not what the log has`);
  }
  const file = join(folder, path);
  await makeFolder(dirname(file));
  const part = `${file}.part`;
  try {
    await writeDurably(part, bytes);
    await link(part, file);
  } finally {
    await rm(part, { force: true });
  }
  await syncFolder(dirname(file));
  return true;
}

/** And the names of those that it makes are durable in theirs. */
async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = resolve(folder); made.length >= resolve(first).length; made = dirname(made)) await syncFolder(dirname(made));
}

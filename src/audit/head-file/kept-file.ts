/** Bytes in one file: whenever the machine stops, either the old ones or the new ones are there, whole. */
import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { KeptBytes } from '../port.ts';
import { syncFolder } from '../sync-folder.ts';

export async function replaceFile(file: string, bytes: Uint8Array): Promise<void> {
  const next = `${file}.next`;
  try {
    await writeDurably(next, bytes);
    await rename(next, file);
  } catch (error) {
    await rm(next, { force: true }).catch(() => undefined);
    throw error;
  }
  await syncFolder(dirname(file));
}

async function writeDurably(file: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(file, 'w', 0o600);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function createKeptFile(file: string): KeptBytes {
  return {
    read: () =>
      readFile(file).then(
        (bytes) => new Uint8Array(bytes),
        () => undefined, // nothing was kept, or nobody can read it: the same to who asks
      ),
    write: (bytes) => replaceFile(file, bytes),
  };
}

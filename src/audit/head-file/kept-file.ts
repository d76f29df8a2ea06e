/** Bytes in one file: whenever the machine stops, either the old ones or the new ones are there, whole. */
import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { KeptBytes } from '../port.ts';
import { syncFolder } from '../sync-folder.ts';

export async function replaceFile(file: string, bytes: Uint8Array): Promise<void> {
  const next = `${file}.next`;
  const handle = await open(next, 'w', 0o600);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(next, file);
  await syncFolder(dirname(file));
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

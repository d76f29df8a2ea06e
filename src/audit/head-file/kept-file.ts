/** What is kept beside the newest checkpoint: bytes in one file, replaced whole. */
import { readFile } from 'node:fs/promises';
import { replaceFile } from '../durable-file.ts';
import type { KeptBytes } from '../port.ts';

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

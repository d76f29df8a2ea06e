/** HeadStore in one file, on another disk than the database if it is to notice that the database was put back. */
import { readFile, writeFile } from 'node:fs/promises';
import { VaultError } from '../../domain/errors.ts';
import { replaceFile } from '../durable-file.ts';
import type { HeadStore } from '../port.ts';

/** Makes the empty file with which keeping begins: by the ceremony, and after a restore that lost records. */
export async function beginHeadFile(file: string): Promise<void> {
  await writeFile(file, '', { mode: 0o600, flush: true });
}

const GONE = 'the file that logHead names is gone; an empty one begins to keep checkpoints';

/** A checkpoint is three short lines and a signature. */
const MAX_BYTES = 4096;

/** `onDiskFailure` is called when its disk failed (EIO): whoever serves must end, because what that disk then says is not to be believed. */
export function createHeadFile(file: string, onDiskFailure: (error: unknown) => void = () => undefined): HeadStore {
  const failed = (cause: unknown, what: string) => {
    if ((cause as NodeJS.ErrnoException).code === 'EIO') onDiskFailure(cause);
    return new VaultError('log_unavailable', `the kept checkpoint cannot be ${what}`, { cause });
  };
  return {
    async read() {
      const bytes = await readFile(file).catch((cause) => {
        if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw new VaultError('log_head_missing', GONE, { cause });
        throw failed(cause, 'read');
      });
      if (bytes.length > MAX_BYTES) throw new VaultError('note_malformed', 'the kept checkpoint is too large');
      return bytes.length === 0 ? undefined : new Uint8Array(bytes);
    },
    async write(checkpoint) {
      try {
        await replaceFile(file, checkpoint);
      } catch (cause) {
        throw failed(cause, 'written');
      }
    },
  };
}

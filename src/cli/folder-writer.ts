/** Writes files below a folder of its own, durably, or leaves nothing behind. */
import { mkdir, open, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writing } from '../agent/target-folder.ts';
import { VaultError } from '../domain/errors.ts';

export interface FolderWriter {
  write(path: string, bytes: Uint8Array): Promise<void>;
  /** To the end of a file that this writer makes. Durable when `whole` resolves. */
  append(path: string, text: string): Promise<void>;
}

/** Throws `usage` when the folder holds something already; `target_unwritable`, and nothing stays, when `work` could not write what it had to. */
export async function intoFolder<T>(folder: string, work: (writer: FolderWriter) => Promise<T>): Promise<T> {
  if ((await readdir(folder).catch(() => [])).length > 0) throw new VaultError('usage', `${folder} is not empty`);
  const appended = new Map<string, Awaited<ReturnType<typeof open>>>();
  try {
    await writing(mkdir(folder, { recursive: true, mode: 0o700 }), folder);
    const result = await work({
      write: (path, bytes) => writing(writeDurably(join(folder, path), bytes), path),
      append: async (path, text) => {
        const file = appended.get(path) ?? (await writing(open(join(folder, path), 'wx', 0o600), path));
        appended.set(path, file);
        await writing(file.appendFile(text), path);
      },
    });
    for (const [path, file] of appended) await writing(file.sync(), path);
    return result;
  } catch (error) {
    for (const name of await readdir(folder).catch(() => [])) await rm(join(folder, name), { recursive: true, force: true });
    throw error;
  } finally {
    for (const file of appended.values()) await file.close().catch(() => undefined); // the failure before is the one to tell
  }
}

async function writeDurably(file: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const handle = await open(file, 'wx', 0o600);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

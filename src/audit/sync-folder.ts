import { open } from 'node:fs/promises';

/** Makes the names in a folder durable; throws where it cannot. The agent's `syncFolderOf` is for whoever has nothing to promise. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

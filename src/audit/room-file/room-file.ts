/** RoomDisk: the reserve is a file beside the database, filled with what no file system can make smaller. */
import { randomFillSync } from 'node:crypto';
import { open, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { RoomDisk } from '../room.ts';

const CHUNK_BYTES = 1 << 20;

export function createRoomFile(database: string): RoomDisk {
  const file = `${database}.reserve`;
  return {
    async free() {
      const { bavail, bsize } = await statfs(dirname(database));
      return bavail * bsize;
    },
    isReserved: async () => (await stat(file).catch(() => undefined)) !== undefined,
    async reserve(bytes) {
      const making = `${file}.next`;
      try {
        await fill(making, bytes);
        await rename(making, file);
        return true;
      } catch {
        await rm(making, { force: true }).catch(() => undefined); // no room for it, and why is seen in what is free
        return false;
      }
    },
    giveUp: () => rm(file, { force: true }),
  };
}

async function fill(file: string, bytes: number): Promise<void> {
  const handle = await open(file, 'w', 0o600);
  try {
    const chunk = randomFillSync(Buffer.alloc(Math.min(bytes, CHUNK_BYTES)));
    for (let left = bytes; left > 0; left -= chunk.length) await handle.writeFile(chunk.subarray(0, Math.min(left, chunk.length)));
    await handle.sync();
  } finally {
    await handle.close();
  }
}

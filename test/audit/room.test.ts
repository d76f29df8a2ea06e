/** The reserve of the access log: what is refused when, that what must be recorded still fits, and that it comes back by itself. */
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createLogRoom, type LogRoomOptions, type Room, type RoomDisk } from '../../src/audit/room.ts';
import { createRoomFile } from '../../src/audit/room-file/room-file.ts';
import { canMount } from '../harness/small-disk.ts';

const RESERVE = 64;
const mountable = canMount();
const whyNot = mountable ? '' : ' (not run: mounting a file system needs root)';

/** A disk of `free` bytes besides the reserve. */
function diskOf(free: number): RoomDisk & { room: number; held: number } {
  const disk = {
    room: free,
    held: 0,
    free: async () => disk.room,
    isReserved: async () => disk.held > 0,
    reserve: async (bytes: number) => {
      if (disk.room < bytes) return false;
      disk.held = bytes;
      disk.room -= bytes;
      return true;
    },
    giveUp: async () => {
      disk.room += disk.held;
      disk.held = 0;
    },
  };
  return disk;
}

const changes: string[] = [];
const roomOn = (disk: RoomDisk, more: Partial<LogRoomOptions> = {}) =>
  createLogRoom({ disk, reserveBytes: RESERVE, onChange: (now, before) => changes.push(`${before} ${now}`), ...more });
beforeEach(() => void changes.splice(0));

describe('room for the log', () => {
  test('goes from ample over low and spent to gone as the disk fills, and back as it empties, each step once', async () => {
    const disk = diskOf(1000);
    const room = roomOn(disk);
    const at = async (free: number): Promise<Room> => {
      disk.room = free;
      await room.look();
      await room.look();
      return room.now();
    };
    await room.look();
    expect([disk.held, room.now()]).toEqual([RESERVE, 'ample']);
    expect(await at(64)).toBe('ample');
    expect([await at(63), disk.held]).toEqual(['low', RESERVE]);
    expect(await at(66)).toBe('low'); // a little more is not enough: it must not go to and fro
    expect(await at(72)).toBe('ample');
    expect([await at(7), disk.held, disk.room]).toEqual(['spent', 0, 71]); // the reserve is what ends are written into now
    expect(await at(2)).toBe('spent');
    expect(await at(1)).toBe('gone');
    expect(await at(100)).toBe('spent');
    expect([await at(136), disk.held]).toEqual(['ample', RESERVE]);
    expect(changes).toEqual(['ample low', 'low ample', 'ample spent', 'spent gone', 'gone spent', 'spent ample']);
  });

  test('is spent from the start where the reserve does not fit', async () => {
    const room = roomOn(diskOf(100));
    await room.look();
    expect(room.now()).toBe('spent');
  });

  test('stays what it was while the disk does not say how much is free', async () => {
    const disk = diskOf(10);
    const errors: unknown[] = [];
    const room = roomOn({ ...disk, free: () => Promise.reject(new Error('EIO')) }, { onError: (error) => errors.push(error) });
    await room.look();
    expect([room.now(), errors.length]).toEqual(['ample', 1]);
  });
});

describe('the reserve on a real disk', () => {
  const onSmallDisk = mountable ? test : test.skip;
  let disk: string;
  beforeEach(() => {
    disk = mkdtempSync(join(tmpdir(), 'wv-room-'));
    if (mountable) execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=700', 'none', disk]);
  });
  afterEach(() => {
    if (mountable) execFileSync('umount', [disk]);
    rmSync(disk, { recursive: true, force: true });
  });

  onSmallDisk(`is allocated whole, for its owner alone, and given up when the disk is full${whyNot}`, async () => {
    const database = join(disk, 'vault.db');
    const file = `${database}.reserve`;
    const room = createLogRoom({ disk: createRoomFile(database), reserveBytes: 1 << 20 });
    await room.look();
    const { size, blocks, mode } = statSync(file);
    expect([room.now(), size, blocks * 512 >= size, mode & 0o777]).toEqual(['ample', 1 << 20, true, 0o600]);
    const filler = join(disk, 'filler');
    fill(filler);
    await room.look();
    expect([room.now(), existsSync(file)]).toEqual(['spent', false]);
    rmSync(filler);
    await room.look();
    expect([room.now(), statSync(file).size]).toEqual(['ample', 1 << 20]);
  });

  onSmallDisk('that does not fit leaves nothing behind', async () => {
    const database = join(disk, 'vault.db');
    expect(await createRoomFile(database).reserve(64 << 20)).toBe(false);
    expect([existsSync(`${database}.reserve`), existsSync(`${database}.reserve.next`)]).toEqual([false, false]);
  });
});

function fill(file: string): void {
  const handle = openSync(file, 'w');
  try {
    for (;;) writeSync(handle, Buffer.alloc(4096));
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
  } finally {
    closeSync(handle);
  }
}

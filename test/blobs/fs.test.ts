/** The blob contract suite on a file system, and what only files have: modes, links, temporary files, a disk that is full or gone. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createFsBlobStore } from '../../src/blobs/fs/fs-blob-store.ts';
import type { BlobStore } from '../../src/blobs/port.ts';
import type { BlobName } from '../../src/domain/ids.ts';
import { PRODUCTION_SEGMENT_BYTES } from '../../src/sealed/suites.ts';
import { type BlobStoreUnderTest, blobStoreContract, nameOf, put, readAll } from '../contract/blob-store.ts';

const ABSENT = 'a'.repeat(64) as BlobName;

async function openFs(): Promise<BlobStoreUnderTest> {
  const folder = newFolder();
  return {
    store: await createFsBlobStore({ folder }),
    second: () => createFsBlobStore({ folder }),
    replace: async (name, content) => writeFileSync(pathOf(folder, name), content),
    ...(existsSync('/proc/self/fd') ? { openHandles: () => handlesInto(folder) } : {}),
    remove: async () => rmSync(folder, { recursive: true }),
  };
}

blobStoreContract('files', openFs);

describe('blobs in files', () => {
  let folder = '';
  let store: BlobStore;
  beforeEach(async () => {
    folder = newFolder();
    store = await createFsBlobStore({ folder });
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('lie in ab/cd/<name> with mode 0600 in folders of mode 0700, and no temporary file stays', async () => {
    const content = randomBytes(100);
    const name = await put(store, content);
    expect(readFileSync(pathOf(folder, name)).equals(content)).toBe(true);
    expect(statSync(pathOf(folder, name)).mode & 0o777).toBe(0o600);
    expect(statSync(dirname(pathOf(folder, name))).mode & 0o777).toBe(0o700);
    expect(temporaries()).toEqual([]);
  });

  it('leave no temporary file when the digest does not match', async () => {
    await expect(store.put(ABSENT, [randomBytes(10)])).rejects.toMatchObject({ code: 'blob_digest_mismatch' });
    expect(temporaries()).toEqual([]);
    expect(existsSync(pathOf(folder, ABSENT))).toBe(false);
  });

  it('are not written again when they are there', async () => {
    const content = randomBytes(100);
    const name = await put(store, content);
    const before = statSync(pathOf(folder, name)).ino;
    await put(store, content);
    expect(statSync(pathOf(folder, name)).ino).toBe(before);
  });

  it('are never looked for in a folder that does not exist, and that folder is not made', async () => {
    const absent = join(folder, 'absent');
    await expect(createFsBlobStore({ folder: absent })).rejects.toMatchObject({ code: 'configuration_invalid' });
    expect(existsSync(absent)).toBe(false);
  });

  it('are unavailable, not missing, when their folder is gone or another one shows in its place', async () => {
    const content = randomBytes(10);
    const name = await put(store, content);
    const expectUnavailable = async () => {
      await expect(store.size(name)).rejects.toMatchObject({ code: 'blob_unavailable' });
      await expect(readAll(store, name, 0, 1)).rejects.toMatchObject({ code: 'blob_unavailable' });
      await expect(put(store, randomBytes(4))).rejects.toMatchObject({ code: 'blob_unavailable' });
    };
    const moved = `${folder}-moved`;
    renameSync(folder, moved);
    await expectUnavailable();
    expect(existsSync(folder)).toBe(false);
    mkdirSync(folder);
    await expectUnavailable();
    expect(readdirSync(folder)).toEqual([]);
    rmSync(folder, { recursive: true });
    renameSync(moved, folder);
    expect((await readAll(store, name, 0, 10)).equals(content)).toBe(true);
  });

  it('are never read through a link, from a folder or from a pipe', async () => {
    const names = [randomBytes(1), randomBytes(2), randomBytes(3)].map(nameOf) as [BlobName, BlobName, BlobName];
    for (const name of names) mkdirSync(dirname(pathOf(folder, name)), { recursive: true });
    writeFileSync(join(folder, 'elsewhere'), 'secret');
    symlinkSync(join(folder, 'elsewhere'), pathOf(folder, names[0]));
    mkdirSync(pathOf(folder, names[1]));
    execFileSync('mkfifo', [pathOf(folder, names[2])]);
    for (const name of names) {
      await expect(readAll(store, name, 0, 1)).rejects.toMatchObject({ code: 'blob_unavailable' });
      await expect(store.size(name)).rejects.toMatchObject({ code: 'blob_unavailable' });
    }
  });

  it('that are cut short while they are read end in blob_missing', async () => {
    const name = await put(store, randomBytes(4 << 20));
    const read = async () => {
      for await (const _ of store.read(name, { start: 0, end: 4 << 20 }, new AbortController().signal))
        truncateSync(pathOf(folder, name), 100);
    };
    await expect(read()).rejects.toMatchObject({ code: 'blob_missing' });
    if (existsSync('/proc/self/fd')) expect(handlesInto(folder)).toBe(0);
  });

  it('left half written by a crash more than an hour ago are removed at the next start; younger and foreign files stay', async () => {
    const file = (name: string, ageSeconds: number) => {
      writeFileSync(join(folder, 'tmp', name), 'half');
      const then = Date.now() / 1000 - ageSeconds;
      utimesSync(join(folder, 'tmp', name), then, then);
    };
    file('00000000-0000-4000-8000-000000000001.part', 3_700);
    file('00000000-0000-4000-8000-000000000002.part', 3_500);
    file('notes.txt', 99_999);
    await createFsBlobStore({ folder });
    expect(temporaries().sort()).toEqual(['00000000-0000-4000-8000-000000000002.part', 'notes.txt']);
  });

  it('are read a whole sealed segment at a time out of one buffer, whose memory is given back when the read ends, also early', async () => {
    const name = await put(store, randomBytes(2 * PRODUCTION_SEGMENT_BYTES + 5));
    const range = { start: 0, end: 2 * PRODUCTION_SEGMENT_BYTES + 5 };
    for (const wanted of [3, 1]) {
      const lengths: number[] = [];
      const buffers = new Set<ArrayBufferLike>();
      for await (const chunk of store.read(name, range, new AbortController().signal)) {
        buffers.add(chunk.buffer);
        if (lengths.push(chunk.length) === wanted) break;
      }
      expect(lengths).toEqual([PRODUCTION_SEGMENT_BYTES, PRODUCTION_SEGMENT_BYTES, 5].slice(0, wanted));
      expect([...buffers].map(({ byteLength }) => byteLength)).toEqual([0]);
    }
  });

  function temporaries(): string[] {
    return readdirSync(join(folder, 'tmp'));
  }
});

const tiny = mountTiny();
(tiny === undefined ? describe.skip : describe)(
  `a full disk of the blobs${tiny === undefined ? ' (skipped: needs root and mount)' : ''}`,
  () => {
    const disk = tiny ?? '';
    afterEach(() => {
      execFileSync('umount', [disk]);
      rmSync(disk, { recursive: true });
    });

    it('answers blob_unavailable with ENOSPC as cause, leaves no temporary file, and goes on when there is room', async () => {
      const store = await createFsBlobStore({ folder: disk });
      const kept = await put(store, randomBytes(200_000));
      const large = randomBytes(3 << 20);
      await expect(put(store, large)).rejects.toMatchObject({ code: 'blob_unavailable', cause: { code: 'ENOSPC' } });
      expect(readdirSync(join(disk, 'tmp'))).toEqual([]);
      expect(await store.size(nameOf(large))).toBeUndefined();
      expect(await store.size(kept)).toBe(200_000);
      await put(store, randomBytes(200_000));
    });
  },
);

/** A file system of 1 MiB, or undefined where this process may not mount one. */
function mountTiny(): string | undefined {
  const at = newFolder();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=0700', 'wv-tiny', at], { stdio: 'ignore' });
    return at;
  } catch {
    rmSync(at, { recursive: true });
    return undefined;
  }
}

function newFolder(): string {
  return mkdtempSync(join(tmpdir(), 'wv-blobs-'));
}

function pathOf(folder: string, name: BlobName): string {
  return join(folder, name.slice(0, 2), name.slice(2, 4), name);
}

function handlesInto(folder: string): number {
  const targets = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // closed since it was listed
    }
  });
  return targets.filter((target) => target.startsWith(folder)).length;
}

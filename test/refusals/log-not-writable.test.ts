/**
 * The access log, and with it the database, cannot be written: its table refuses, another process holds the lock past the deadline, its
 * disk is full; or the disk of the blobs is. Nothing is released, nobody is logged in, nothing approved or published; nothing
 * half-written stays; and when it can be written again the same process goes on. The full disks are real: small file systems in memory,
 * filled to the last byte.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { canMount, filled } from '../harness/small-disk.ts';
import { TestVault } from '../vault/test-vault.ts';
import { attempts, expectWell, retryable, rowsOf, type Scene, sceneIn } from './unwritable.ts';

const MIB = 1 << 20;

/** Stops the database from being written, and answers how to let it be written again. */
type Breaking = (scene: Scene) => Promise<() => Promise<void> | void>;

/** `unharmed`: what neither writes a record nor releases anything new, and may go on. */
async function nothingHappens(scene: Scene, breaking: Breaking, unharmed: readonly string[] = []): Promise<Record<string, string>> {
  const { vault } = scene;
  const prepared = Object.entries(await attempts(scene)).filter(([name]) => !unharmed.includes(name));
  const before = rowsOf(vault);
  const mend = await breaking(scene);
  const codes: Record<string, string> = {};
  try {
    for (const [name, attempt] of prepared) codes[name] = await attempt();
  } finally {
    await mend();
  }
  expect(rowsOf(vault)).toEqual(before); // neither a row nor a record of what was refused
  return codes;
}

function expectAllRetryable(codes: Record<string, string>): void {
  expect(Object.entries(codes).filter(([, code]) => !retryable(code))).toEqual([]);
}

describe('the database', () => {
  let scene: Scene;
  beforeEach(async () => {
    scene = await sceneIn(await TestVault.ready());
  });
  afterEach(() => scene.vault.remove());

  test('whose log takes no record: nothing is released, and nothing that must be on record happens', async () => {
    const refusing: Breaking = async ({ vault }) => {
      vault.database.exec("CREATE TRIGGER no_log BEFORE INSERT ON log_leaves BEGIN SELECT RAISE(ABORT, 'not today'); END");
      return () => void vault.database.exec('DROP TRIGGER no_log');
    };
    // What was recorded before may still be read; a challenge, an empty version and an upload release nothing.
    const codes = await nothingHappens(scene, refusing, ['read', 'challenge', 'new version', 'upload']);
    expect(new Set(Object.values(codes))).toEqual(new Set(['SQLITE_CONSTRAINT_TRIGGER'])); // no code of ours: over HTTP it is `internal`
    await expectWell(scene);
  });

  test('locked by another process past the deadline: everything is refused as retryable', async () => {
    // Each waits 5 s for the lock, so these stand for the others.
    const others = ['renewal', 'refused read', 'challenge', 'request', 'new version', 'finish'];
    const codes = await nothingHappens(scene, lockedByAnother, others);
    expectAllRetryable(codes);
    expect(Object.keys(codes)).toEqual(['release', 'refused release', 'read', 'login', 'approval', 'new model', 'upload']);
    await expectWell(scene);
  });
});

test('without being root: files that may grow no further (RLIMIT_FSIZE) tear nothing; blobs go on, the database in the next process', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'wv-limited-'));
  try {
    const script = fileURLToPath(new URL('limited-writer.ts', import.meta.url));
    const said = JSON.parse(execFileSync(process.execPath, [script, folder], { encoding: 'utf8', timeout: 200_000 }));
    expect(said).toEqual({
      limited: { append: 'store_unavailable', put: 'blob_unavailable' },
      left: [],
      lifted: { append: 'store_unavailable', put: 'done' }, // a failed write of the database ends the process that saw it
      diskFailures: 1,
      next: 'done',
      records: 2,
      integrity: 'ok',
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

const mountable = canMount();
const onSmallDisk = mountable ? test : test.skip;
const why = mountable ? '' : ' (not run: mounting a file system needs root)';

describe('a full disk', () => {
  let disk: string;
  let scene: Scene;
  beforeEach(() => {
    disk = mkdtempSync(join(tmpdir(), 'wv-disk-'));
    if (mountable) execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=700', 'none', disk]);
  });
  afterEach(async () => {
    await scene?.vault.remove();
    if (mountable) execFileSync('umount', [disk]);
    rmSync(disk, { recursive: true, force: true });
  });

  onSmallDisk(`of the database: everything is refused as retryable, and goes on in the same process when there is room${why}`, async () => {
    scene = await sceneIn(await moved({ file: join(disk, 'vault.db') }));
    const codes = await nothingHappens(scene, async ({ vault }) => {
      emptyWal(vault);
      return filled(disk);
    });
    expectAllRetryable(codes);
    expect(new Set(Object.values(codes))).toEqual(new Set(['store_unavailable']));
    await expectWell(scene);
  });

  onSmallDisk(`of the blobs: only uploads are refused, blob_unavailable, and leave no part of a blob${why}`, async () => {
    scene = await sceneIn(await moved({ folder: disk }));
    const { upload, ...others } = await attempts(scene);
    const before = blobsBelow(disk);
    const free = filled(disk);
    expect(await upload?.()).toBe('blob_unavailable');
    expect(retryable('blob_unavailable')).toBe(true);
    expect(blobsBelow(disk)).toEqual(before);
    expect(await others['release']?.()).toBe('granted');
    expect(await others['read']?.()).toBe('done');
    expect(await others['login']?.()).toBe('done');
    await scene.bystander.served();
    free();
    await expectWell(scene);
  });

  onSmallDisk(`of the blobs that fills up in the middle of a unit: what was written of it is removed${why}`, async () => {
    scene = await sceneIn(await moved({ folder: disk }));
    const { vault } = scene;
    const before = blobsBelow(disk);
    const free = filled(disk, 2 * MIB);
    const large = { 'weights.bin': new Uint8Array(5 * MIB) };
    await expect(vault.upload('large', 'internal', large)).rejects.toMatchObject({ code: 'blob_unavailable' });
    expect(blobsBelow(disk)).toEqual(before);
    free();
    await vault.publish('large', 'internal', large);
    await expectWell(scene);
  });
});

/** A vault whose database file, or whose folder of blobs, lies somewhere else. */
async function moved({ file, folder }: { readonly file?: string; readonly folder?: string }): Promise<TestVault> {
  const vault = await TestVault.ready();
  await vault.leave();
  const { site } = vault;
  if (file !== undefined) {
    cpSync(site.file, file);
    rmSync(site.file);
    return started(new TestVault({ ...site, file }));
  }
  // The folder may be removed with the vault, what is mounted there may not.
  cpSync(join(site.folder, 'blobs'), join(folder ?? '', 'blobs'), { recursive: true });
  rmSync(join(site.folder, 'blobs'), { recursive: true });
  return started(new Elsewhere({ ...site, folder: folder ?? '' }, site.folder));
}

class Elsewhere extends TestVault {
  readonly #home: string;
  constructor(site: TestVault['site'], home: string) {
    super(site);
    this.#home = home;
  }
  override async remove(): Promise<void> {
    await this.leave();
    rmSync(this.#home, { recursive: true, force: true });
  }
}

async function started(vault: TestVault): Promise<TestVault> {
  await vault.addNode();
  return vault;
}

/** So that the next commit needs room: frames of a log that was checkpointed are written over. */
function emptyWal(vault: TestVault): void {
  expect(vault.database.pragma('wal_checkpoint(TRUNCATE)')).toEqual([{ busy: 0, log: 0, checkpointed: 0 }]);
}

/** Another process that begins a transaction and does not end it. */
const lockedByAnother: Breaking = async ({ vault }) => {
  const code = `
    import Database from 'better-sqlite3';
    const db = new Database(${JSON.stringify(vault.site.file)});
    db.exec('BEGIN IMMEDIATE');
    process.stdout.write('locked');
    process.stdin.on('end', () => process.exit()).resume();`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  return async () => {
    child.stdin.end();
    await ended;
  };
};

function blobsBelow(folder: string): string[] {
  return readdirSync(join(folder, 'blobs'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

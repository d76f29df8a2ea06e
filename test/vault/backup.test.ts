/** The drill: back up while the vault serves, lose everything, restore, and find it whole, or find what is wrong with the copy. */
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { beginHeadFile, createHeadFile } from '../../src/audit/head-file/head-file.ts';
import { createSequencer } from '../../src/audit/sequencer.ts';
import { backUp, restore } from '../../src/compose-backup.ts';
import type { Config } from '../../src/config/config.ts';
import { type Incarnation, newId } from '../../src/domain/ids.ts';
import { LOG_KEY } from '../../src/vault/init.ts';
import { codeFrom, type Machine, marker, noise, ORIGIN, type Published, TestVault } from './test-vault.ts';

let vault: TestVault;
let away: string;
let copy: string;
let machine: Machine;
let version: Published;
const weights = noise(3_000_000);
beforeEach(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('node-1');
  version = await vault.publish('m', 'internal', { 'weights.bin': weights, 'config.json': marker(50) });
  away = mkdtempSync(join(tmpdir(), 'wv-away-'));
  copy = join(away, 'backup');
  await beginHeadFile(join(away, 'log-head'));
});
afterEach(async () => {
  await vault.remove();
  rmSync(away, { recursive: true, force: true });
});

const config = (over: Partial<Config> = {}): Config =>
  ({
    vaultId: vault.site.made.vaultId,
    vaultDocument: vault.site.made.vaultDocument,
    database: vault.site.file,
    blobs: join(vault.site.folder, 'blobs'),
    logHead: join(away, 'log-head'),
    digest: 'c'.repeat(64),
    ...over,
  }) as Config;

/** Records become signed, and the last checkpoint is kept in `away`. */
async function sign() {
  const { clock, keys, made } = vault.site;
  const { unitOfWork, log } = vault.stores;
  const heads = createHeadFile(join(away, 'log-head'));
  const one = createSequencer({
    unitOfWork,
    log,
    origin: ORIGIN,
    publicKey: made.logPublicKey,
    sign: (text) => keys.sign(LOG_KEY, text),
    node: newId<Incarnation>(clock.now()),
    clock,
    heads,
  });
  while ((await one.tick()) === 'published');
  expect(one.halted()).toBeUndefined();
  await one.stop();
}

/** The disk of database and blobs is gone. */
async function lose() {
  await vault.leave();
  for (const name of readdirSync(vault.site.folder)) rmSync(join(vault.site.folder, name), { recursive: true, force: true });
}

const putBack = (acceptLostRecords = false) => restore(config(), copy, { acceptLostRecords });

describe('backup and restore', () => {
  test('everything comes back: weights byte for byte, people, policies, and a log that goes on', async () => {
    await vault.granted({ machine, version });
    await sign();
    const facts = await backUp(config(), copy);
    expect(facts).toMatchObject({ v: 1, blobs: { count: 2 }, copied: 2 });
    const records = vault.records().length;
    await lose();

    expect(await putBack()).toMatchObject({ lostRecords: 0, blobs: { blobs: 2, copied: 2 } });
    const node = await vault.addNode();
    vault.nodes.splice(0, vault.nodes.length, node);
    const granted = await vault.granted({ node, machine, version });
    expect(Buffer.from(await vault.fetch(machine, granted, 'weights.bin', node)).equals(Buffer.from(weights))).toBe(true);
    expect(vault.records().length).toBe(records + 2);
    expect(vault.records('vault.restored')).toMatchObject([
      { outcome: 'success', detail: expect.stringContaining('0 signed records lost') },
    ]);
    await sign(); // continues what was signed before
  });

  test('taken while a version is read and another is published, it is consistent', async () => {
    const granted = await vault.granted({ machine, version });
    const [, , second] = await Promise.all([
      vault.fetch(machine, granted),
      backUp(config(), copy),
      vault.publish('n', 'internal', { 'w.bin': noise(500_000) }),
    ]);
    await sign();
    await backUp(config(), copy);
    await lose();
    await putBack();
    const node = await vault.addNode();
    vault.nodes.splice(0, vault.nodes.length, node);
    expect((await vault.fetch(machine, await vault.granted({ node, machine, version: second }), 'w.bin', node)).length).toBe(500_000);
  });

  test('a second time copies only what is new', async () => {
    expect((await backUp(config(), copy)).copied).toBe(2);
    await vault.publish('n', 'internal', { 'w.bin': noise(1000) });
    expect(await backUp(config(), copy)).toMatchObject({ copied: 1, blobs: { count: 3 } });
  });

  test('holds no key and no plaintext', async () => {
    await backUp(config(), copy);
    const all = readdirSync(copy, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name)));
    for (const secret of [...vault.keys.plain, weights.subarray(1000, 1064), marker(40)]) {
      expect(all.some((bytes) => bytes.includes(Buffer.from(secret)))).toBe(false);
    }
  });
});

describe('a restore refuses, and leaves nothing that would be served', () => {
  const refused = async (code: string) => {
    expect(await codeFrom(putBack())).toBe(code);
    expect(existsSync(vault.site.file)).toBe(false);
  };

  test('a folder that is no backup, or one that was interrupted: usage', async () => {
    await lose();
    await refused('usage');
  });

  test('an interrupted backup', async () => {
    await backUp(config(), copy);
    const { blobs } = vault.vault;
    expect(blobs).toBeDefined();
    rmSync(join(vault.site.folder, 'blobs', readdirSync(join(vault.site.folder, 'blobs')).find((name) => name !== 'tmp') ?? ''), {
      recursive: true,
    });
    rmSync(join(copy, 'blobs'), { recursive: true });
    expect(await codeFrom(backUp(config(), copy))).toBe('blob_missing');
    await lose();
    await refused('usage');
  });

  test('over a database that is there', async () => {
    await backUp(config(), copy);
    expect(await codeFrom(putBack())).toBe('already_initialized');
  });

  test('of another vault', async () => {
    await backUp(config(), copy);
    await lose();
    const other = config({ vaultDocument: 'd'.repeat(64) as Config['vaultDocument'] });
    expect(await codeFrom(restore(other, copy, { acceptLostRecords: false }))).toBe('configuration_invalid');
  });

  test.each<[string, string, (folder: string) => void]>([
    ['one byte of the database altered', 'digest_mismatch', (folder) => flip(join(folder, 'vault.db'), 5000)],
    ['backup.json edited', 'digest_mismatch', (folder) => writeFileSync(join(folder, 'backup.json'), '{"v":2}')],
    ['a blob altered', 'blob_digest_mismatch', (folder) => flip(blobIn(folder), 100)],
    ['a blob gone', 'blob_missing', (folder) => rmSync(blobIn(folder))],
  ])('%s: %s', async (_what, code, damage) => {
    await sign();
    await backUp(config(), copy);
    damage(copy);
    await lose();
    await refused(code);
  });

  test('a backup whose log was edited and whose digest was made to fit', async () => {
    await sign();
    vault.dropTriggers();
    const { path, bytes } = vault.row("SELECT path, bytes FROM log_tiles WHERE path LIKE 'tile/entries/%'") as {
      path: string;
      bytes: Buffer;
    };
    bytes[200] = (bytes[200] ?? 0) ^ 1;
    vault.sql('UPDATE log_tiles SET bytes = ? WHERE path = ?', bytes, path);
    await backUp(config(), copy);
    await lose();
    await refused('log_entry_mismatch');
  });
});

describe('an older backup', () => {
  test('is noticed: log_rolled_back; accepted, the log says how many records are lost', async () => {
    await sign();
    await backUp(config(), copy);
    const older = join(away, 'older');
    cpSync(copy, older, { recursive: true });
    await vault.actor('alice');
    await vault.actor('bob');
    await sign();
    await lose();
    expect(await codeFrom(putBack())).toBe('log_rolled_back');
    expect(existsSync(vault.site.file)).toBe(false);

    expect(await putBack(true)).toMatchObject({ lostRecords: 2 });
    expect(existsSync(join(away, 'log-head.before-restore'))).toBe(true);
    const node = await vault.addNode();
    vault.nodes.splice(0, vault.nodes.length, node);
    expect(vault.records('vault.restored').at(-1)?.detail).toContain('2 signed records lost');
    await sign();
  });

  test('put in place by hand, past the command, stops the log and so every release', async () => {
    await sign();
    await backUp(config(), copy);
    await vault.actor('alice');
    await sign();
    await lose();
    cpSync(join(copy, 'vault.db'), vault.site.file);
    cpSync(join(copy, 'blobs'), join(vault.site.folder, 'blobs'), { recursive: true });
    const { clock, keys, made } = vault.site;
    const node = await vault.addNode();
    const one = createSequencer({
      unitOfWork: node.vault.stores.unitOfWork,
      log: node.vault.stores.log,
      origin: ORIGIN,
      publicKey: made.logPublicKey,
      sign: (text) => keys.sign(LOG_KEY, text),
      node: node.vault.node,
      clock,
      heads: createHeadFile(join(away, 'log-head')),
    });
    expect(await one.tick()).toBe('halted');
    const halted = { ...node, vault: { ...node.vault, logHalted: () => one.halted() } };
    expect(await codeFrom(vault.ask({ node: halted, machine, version }))).toBe('log_unavailable');
  });
});

function flip(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(file, bytes);
}

function blobIn(folder: string): string {
  const files = readdirSync(join(folder, 'blobs'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const largest = files.map((file) => join(file.parentPath, file.name)).sort((a, b) => readFileSync(b).length - readFileSync(a).length)[0];
  if (largest === undefined) throw new Error('no blob');
  return largest;
}

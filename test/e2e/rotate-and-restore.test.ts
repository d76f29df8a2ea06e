/** The life of a key and of a disk, with nothing pretended: SoftHSM, processes that are killed, `wv keys`, `wv backup`, `wv restore`. */
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { withCeremonyKeys } from '../../src/compose.ts';
import { loadConfig } from '../../src/config/config.ts';
import { systemClock } from '../../src/domain/clock.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { destroyKeys } from '../../src/vault/destroy-keys.ts';
import { type RealVault, type ServerProcess, startRealVault, until, wv, wvJson } from './real-vault.ts';

let vault: RealVault;
let server: ServerProcess;
let machine: string;
beforeAll(async () => {
  vault = await startRealVault();
  server = vault.server;
  machine = await vault.enrolled('gpu-node-1');
  await vault.promote();
});
afterAll(() => vault?.stop());

const alice = () => ['--kit', vault.kit('alice')];
const config = () => ['--config', join(vault.folder, 'vault.json')];
const keys = async () => (await wvJson('keys', 'show', ...alice()))['keks'] as Array<{ version: number; state: string; wrapped: number }>;
const approved = async (...args: string[]) => vault.approve((await wvJson(...args, ...alice())) as never, 'system');

/** `wv keys erase` as it would be in so many days, on the real HSM: nobody waits here. */
function eraseAfterDays(days: number) {
  const settings = loadConfig(join(vault.folder, 'vault.json'));
  const own = { ...settings, keeperSocket: settings.keeperSocket.replace(/(?:\.sock)?$/, '-erase.sock') };
  return withCeremonyKeys(own, createLogger(), destroyKeys, { ...systemClock, now: () => new Date(Date.now() + days * 86_400_000) });
}

/** Fetches the model into a new folder and compares every byte with what was published. */
async function fetchAll(name: string): Promise<void> {
  const target = vault.at(name);
  await wvJson('fetch', '--requester', machine, '--model', 'tiny-llm', '--version', vault.versionId, '--out', target);
  for (const [path, bytes] of vault.model) expect(readFileSync(join(target, path)).equals(bytes)).toBe(true);
}

function ciphertext(): Record<string, string> {
  const files = readdirSync(join(vault.folder, 'blobs'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const digest = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
  return Object.fromEntries(files.map((file) => [file.name, digest(join(file.parentPath, file.name))]));
}

describe('rotation', () => {
  test('killed while it rewraps, and started again: everything ends under version 2, no ciphertext was touched, the model is served', async () => {
    for (let at = 0; at < 3; at++) {
      const folder = vault.at(`small-${at}`);
      mkdirSync(folder);
      writeFileSync(join(folder, 'w.bin'), `weights ${at}`);
      await wvJson('publish', ...alice(), '--model', `small-${at}`, '--class', 'internal', folder);
    }
    const before = ciphertext();
    expect(await keys()).toEqual([expect.objectContaining({ version: 1, state: 'active', wrapped: 11 })]); // four versions, seven people

    await approved('keys', 'rotate', '--code', await vault.code('alice')); // the login's may be older than five minutes
    await server.kill();
    server = await vault.serve();
    expect(await until(async () => (await keys())[0]?.wrapped === 0)).toBe(true);
    expect(await keys()).toEqual([
      expect.objectContaining({ version: 1, state: 'deactivated', wrapped: 0 }),
      expect.objectContaining({ version: 2, state: 'active', wrapped: 11 }),
    ]);
    expect(ciphertext()).toEqual(before);
    await fetchAll('after-rotation');
  });

  test('the old version is destroyed by two people and a hand beside the HSM; the vault starts and serves without it', async () => {
    expect((await wv('keys', 'erase', ...config(), '--yes')).out).toContain('Nothing was decided');
    await approved('keys', 'destroy', '1', '--yes', '--code', await vault.code('alice'));
    const version1 = { id: 'kek-default', version: 1 };
    expect(await wvJson('keys', 'erase', ...config(), '--yes')).toMatchObject({ destroyed: [], waiting: [version1] });
    expect(await eraseAfterDays(15)).toMatchObject({ gone: [version1], waiting: [] });
    expect((await keys())[0]).toMatchObject({ version: 1, state: 'destroyed' });
    await server.stop();
    server = await vault.serve();
    await fetchAll('after-destruction');
  });
});

describe('the disk is lost', () => {
  test('a backup taken while the vault serves brings everything back, and the log still verifies', async () => {
    const [, facts] = await Promise.all([fetchAll('meanwhile'), wvJson('backup', ...config(), vault.at('backup'))]);
    expect(facts).toMatchObject({ v: 1, copied: Object.keys(ciphertext()).length });
    await server.stop();
    await wvJson('backup', ...config(), vault.at('backup')); // the records of that stop as well
    copyFileSync(join(vault.folder, 'log-head'), vault.at('older-head'));
    for (const name of readdirSync(vault.folder))
      if (/^vault\.db/.test(name) || name === 'blobs') rmSync(join(vault.folder, name), { recursive: true });

    expect(await wvJson('restore', ...config(), vault.at('backup'))).toMatchObject({ lostRecords: 0 });
    server = await vault.serve();
    await fetchAll('restored');
    expect((await wv('login', '--kit', vault.kit('bob'), '--code', '000000')).exit).toBe(3);
    await wvJson('log', 'export', '--kit', vault.kit('bob'), vault.at('log-copy'));
    expect(await wvJson('log', 'verify', '--vkey', vault.vkey, vault.at('log-copy'))).toMatchObject({ ok: true });
  });

  test('an older one is noticed: refused by the command, and by the vault when it was put there by hand', async () => {
    await server.stop();
    for (const name of readdirSync(vault.folder)) if (/^vault\.db/.test(name)) rmSync(join(vault.folder, name));
    expect(await wv('restore', ...config(), vault.at('backup'))).toMatchObject({
      exit: expect.any(Number),
      err: expect.stringContaining('log_rolled_back'),
    });
    writeFileSync(join(vault.folder, 'vault.db'), readFileSync(vault.at('backup', 'vault.db')));
    await expect(vault.serve()).rejects.toThrow(/log_rolled_back/);
    copyFileSync(vault.at('older-head'), join(vault.folder, 'log-head')); // both put back: the HSM remembers
    await expect(vault.serve()).rejects.toThrow(/log_rolled_back/);
    rmSync(join(vault.folder, 'vault.db'));
    expect((await wv('restore', ...config(), vault.at('backup'))).err).toContain('log_rolled_back');
    expect(await wvJson('restore', ...config(), '--accept-lost-records', vault.at('backup'))).toMatchObject({
      lostRecords: expect.any(Number),
    });
    server = await vault.serve();
    await fetchAll('after-loss');
  });
});

/**
 * What stays in memory after traffic (P5): all writable memory of the vault and of its keeper is searched for the DEK of a finished release, as
 * bytes, hexadecimal and base64; their heap snapshots for the PIN too. The KEK is in the token, and no JavaScript ever has it. The search is
 * shown to find a DEK that is in use.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import Database from 'better-sqlite3';
import { withCeremonyKeys } from '../../src/compose.ts';
import { loadConfig } from '../../src/config/config.ts';
import { SecretBytes, secretCopy } from '../../src/domain/secret.ts';
import { decodeWrappedKey, dekWrapAad } from '../../src/keys/wrapped-key.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { KEK } from '../../src/vault/init.ts';
import { startBareKeeper } from '../harness/bare-keeper.ts';
import { heapSnapshot, snapshotFlags, timesInMemory } from '../harness/process-memory.ts';
import { startSoftHsm } from '../harness/softhsm.ts';
import { keeperPid, MODEL, type RealVault, startRealVault, until, wvJson } from './real-vault.ts';

let vault: RealVault;
let machine: string;
beforeAll(async () => {
  vault = await startRealVault();
  machine = await vault.enrolled('gpu-node-1');
  await vault.promote();
});
afterAll(() => vault?.stop());

/** The DEK of the model, by a keeper of its own beside the one that serves. */
async function dekOfModel(): Promise<Buffer> {
  const config = loadConfig(join(vault.folder, 'vault.json'));
  const own = { ...config, keeperSocket: config.keeperSocket.replace(/(?:\.sock)?$/, '-look.sock') };
  const database = new Database(config.database, { readonly: true });
  const row = database.prepare('SELECT namespace, model_id AS modelId, wrapped_dek AS blob FROM versions').get() as {
    namespace: string;
    modelId: string;
    blob: Buffer;
  };
  database.close();
  return withCeremonyKeys(own, createLogger('error'), async ({ keys, vaultId }) => {
    const wrapped = decodeWrappedKey(new Uint8Array(row.blob));
    const context = { vaultId, namespace: row.namespace, modelId: row.modelId, versionId: vault.versionId };
    using dek = await keys.unwrap(wrapped, dekWrapAad(context as never, wrapped.kek));
    return dek.expose((bytes) => Buffer.from(bytes));
  });
}

const forms = (dek: Buffer) => [dek, Buffer.from(dek.toString('hex')), Buffer.from(dek.toString('base64'))];
const anywhere = (pid: number, dek: Buffer) => forms(dek).reduce((sum, form) => sum + (timesInMemory(pid, form) ?? 0), 0);

function pinOfToken(): string {
  const [name] = readdirSync(vault.tokenFolder).filter((file) => file.endsWith('.pin'));
  const pin = readFileSync(join(vault.tokenFolder, name ?? ''), 'utf8').trim();
  expect(pin.length).toBeGreaterThanOrEqual(4);
  return pin;
}

function expectNone(snapshot: string, secrets: readonly string[]): void {
  expect(snapshot.length).toBeGreaterThan(1_000_000);
  for (const secret of secrets) expect(snapshot.includes(secret)).toBe(false);
}

test('after a suspension no writable memory of the vault or of its keeper holds the DEK that was in use, and no heap the DEK or the PIN', async () => {
  const heaps = vault.at('heaps');
  mkdirSync(heaps);
  await vault.server.stop();
  const server = await vault.serve(undefined, 'both', snapshotFlags(heaps));
  const keeper = keeperPid(server);
  const dek = await dekOfModel();
  await wvJson('fetch', '--requester', machine, '--model', MODEL, '--version', vault.versionId, '--out', vault.at('out'));
  const inUse = timesInMemory(server.pid, dek);
  if (inUse === undefined) return console.warn('skipped: this kernel shows nobody the memory of a process');
  expect(inUse).toBeGreaterThan(0); // it lingers for a minute after the last release: the search finds it
  expect(anywhere(keeper, dek)).toBe(0); // it opened the DEK for this release, and handed it on

  await wvJson('keys', 'suspend', '1', '--kit', vault.kit('bob'));
  expect(await until(() => anywhere(server.pid, dek) === 0)).toBe(true);
  expectNone(await heapSnapshot(server.pid, heaps), [pinOfToken(), dek.toString('hex'), dek.toString('base64'), dek.toString('latin1')]);
});

test('a keeper that has logged in, wrapped and unwrapped has neither PIN nor secret in its heap, and the secret nowhere in its memory', async () => {
  const heaps = vault.at('keeper-heaps');
  mkdirSync(heaps);
  const hsm = await startSoftHsm();
  const keeper = await startBareKeeper(hsm, snapshotFlags(heaps));
  try {
    const secret = randomBytes(32);
    const aad = new Uint8Array(40);
    await keeper.client.generate(KEK, 'kek');
    const wrapped = await keeper.client.wrap(KEK, new SecretBytes(secretCopy(secret)), aad);
    for (let at = 0; at < 50; at++) (await keeper.client.unwrap(wrapped, aad)).dispose();
    // The last frame is wiped when its write returns, and the kernel may let us run before: we have the answer then.
    expect(await until(() => anywhere(keeper.pid, secret) === 0)).toBe(true);
    expectNone(await heapSnapshot(keeper.pid, heaps), [hsm.pin, secret.toString('hex'), secret.toString('base64')]);
  } finally {
    await keeper.stop();
    hsm.remove();
  }
});

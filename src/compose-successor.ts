/** What a recovery and a rotation of the signing keys share: nobody may serve, the stored log must be sound, and the work is done on a copy. */
import { existsSync } from 'node:fs';
import { link, rename, rm } from 'node:fs/promises';
import { openCheckpoint } from './audit/checkpoint.ts';
import { createHeadFile } from './audit/head-file/head-file.ts';
import { verifierKey } from './audit/vkey.ts';
import type { Config } from './config/config.ts';
import { equalBytes } from './domain/bytes.ts';
import { DEFAULTS } from './domain/classes.ts';
import { systemClock } from './domain/clock.ts';
import { VaultError } from './domain/errors.ts';
import type { Stores } from './stores/port.ts';
import { openSqliteStores } from './stores/sqlite/sqlite-stores.ts';
import { type StoredVault, storedVault, verifyStoredLog } from './vault/stored-vault.ts';

/** The vault that `config` names, in this database: that of the configuration, or a copy of it. */
export function withStored<T>(file: string, config: Config, work: (vault: StoredVault) => Promise<T>, readOnly = false): Promise<T> {
  return withStores(file, async (stores) => work(await storedVault(stores, config)), readOnly);
}

async function withStores<T>(file: string, work: (stores: Stores) => Promise<T>, readOnly: boolean): Promise<T> {
  const stores = await openSqliteStores({ file, clock: systemClock, readOnly });
  try {
    return await work(stores);
  } finally {
    await stores.close();
  }
}

export async function refuseServing(config: Config): Promise<void> {
  const serving = await withStores(config.database, (stores) => stores.unitOfWork.run((tx) => stores.releases.anyNodeLives(tx)), true);
  if (serving)
    throw new VaultError('usage', `a vault serves this database, or did a moment ago: stop it, then wait ${DEFAULTS.nodeLeaseSeconds} s`);
}

/** From a log that was edited nothing is learned, and one that was put back is not continued. */
export async function assertSound(config: Config, old: StoredVault): Promise<void> {
  const [problem] = (await verifyStoredLog(old))?.problems ?? [];
  if (problem !== undefined) throw new VaultError(problem.code, `access log: ${problem.detail}`);
  const kept = config.logHead === undefined ? undefined : await createHeadFile(config.logHead).read();
  if (kept === undefined) return;
  const key = verifierKey(old.identity.origin, Buffer.from(old.identity.logKey.publicKey, 'base64'));
  const signed = openCheckpoint(kept, key);
  const head = await old.stores.unitOfWork.run((tx) => old.stores.log.head(tx));
  const stored = head && openCheckpoint(head.checkpoint, key);
  if (stored === undefined || stored.size < signed.size) throw new VaultError('log_rolled_back', 'more was signed than this database has');
  if (stored.size === signed.size && !equalBytes(stored.root, signed.root)) throw new VaultError('log_conflict');
}

/**
 * Puts the copy in place of the database, which stays beside under `before`, then the checkpoint under the new log key. There is a whole database in
 * that place at every moment; twice does no harm.
 */
export async function putInPlace(
  config: Config,
  copy: string,
  { before, checkpoint }: { readonly before: string; readonly checkpoint: Uint8Array | undefined },
): Promise<void> {
  const { database, logHead } = config;
  if (existsSync(copy)) {
    await withStores(database, async () => undefined, false); // closing it takes its write-ahead log into the file
    await rm(`${database}.${before}`, { force: true });
    await link(database, `${database}.${before}`);
    for (const suffix of ['-wal', '-shm']) await rm(database + suffix, { force: true });
    await rename(copy, database);
  }
  if (logHead !== undefined && checkpoint !== undefined) await createHeadFile(logHead).write(checkpoint);
}

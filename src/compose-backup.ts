/** Composition root of `wv backup` and `wv restore`: a stored vault, a folder with its copy, and no HSM. */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { copyFile, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { createAccessLog } from './audit/access-log.ts';
import { openCheckpoint } from './audit/checkpoint.ts';
import { beginHeadFile, createHeadFile } from './audit/head-file/head-file.ts';
import { createHsmHead, hsmHeadName } from './audit/head-hsm/head-hsm.ts';
import { loggable } from './audit/record.ts';
import { type VerifierKey, verifierKey } from './audit/vkey.ts';
import { createFsBlobStore } from './blobs/fs/fs-blob-store.ts';
import type { Config } from './config/config.ts';
import { systemClock } from './domain/clock.ts';
import { codeOf, VaultError } from './domain/errors.ts';
import { type Incarnation, newId } from './domain/ids.ts';
import type { HeadObjects } from './keys/port.ts';
import { snapshotSqlite } from './stores/sqlite/snapshot.ts';
import { openSqliteStores } from './stores/sqlite/sqlite-stores.ts';
import { type CopiedBlobs, copyBlobs, type StoredVault, storedVault, verifyStoredLog } from './vault/stored-vault.ts';

/** What a backup folder says of itself. It is written last: a folder without it is no backup. */
const factsFile = z.strictObject({
  v: z.literal(1),
  vaultId: z.string(),
  vaultDocument: z.string(),
  createdAt: z.iso.datetime(),
  /** Records in the access log. */
  records: z.int().min(0),
  database: z.strictObject({ sha256: z.string(), bytes: z.int().min(0) }),
  blobs: z.strictObject({ count: z.int().min(0), bytes: z.int().min(0) }),
});
export type BackupFacts = z.output<typeof factsFile>;

const FACTS = 'backup.json';
const DATABASE = 'vault.db';
const ASSIGNED_AT_ONCE = 10_000;

type OnBytes = (bytes: number) => void;

/**
 * Copies the vault into `folder` while it may serve: first a consistent copy of the database, then every blob that it names. A folder that
 * holds an older backup of the same vault keeps the blobs it has. Without the HSM's keys a backup opens nothing.
 */
export async function backUp(
  config: Config,
  folder: string,
  onBytes: OnBytes = () => {},
): Promise<BackupFacts & { readonly copied: number }> {
  await refuseForeignBackup(config, folder);
  await recordCopy(config);
  await mkdir(join(folder, 'blobs'), { recursive: true, mode: 0o700 });
  await rm(join(folder, FACTS), { force: true }); // from here on, and until it is written again, this is no backup
  const next = join(folder, `${DATABASE}.next`);
  await rm(next, { force: true });
  snapshotSqlite(config.database, next, systemClock);
  await rename(next, join(folder, DATABASE));
  const { records, blobs } = await withCopy(config, folder, async (vault) => ({
    records: await vault.stores.unitOfWork.run((tx) => vault.stores.log.assignedSize(tx)),
    blobs: await copyBlobs(
      vault,
      await createFsBlobStore({ folder: config.blobs }),
      await createFsBlobStore({ folder: join(folder, 'blobs') }),
      onBytes,
    ),
  }));
  const facts: BackupFacts = {
    v: 1,
    vaultId: config.vaultId,
    vaultDocument: config.vaultDocument,
    createdAt: systemClock.now().toISOString(),
    records,
    database: await fileFacts(join(folder, DATABASE)),
    blobs: { count: blobs.blobs, bytes: blobs.bytes },
  };
  await writeDurable(join(folder, FACTS), `${JSON.stringify(facts, undefined, 2)}\n`);
  return { ...facts, copied: blobs.copied };
}

/** A backup takes the whole log along: on record before it does, and so in the copy too. Without a record there is no copy. */
async function recordCopy({ database: file, vaultId, digest: configDigest }: Config): Promise<void> {
  if (!existsSync(file)) throw new VaultError('not_initialized', 'there is no database to back up');
  const stores = await openSqliteStores({ file, clock: systemClock });
  try {
    const accessLog = createAccessLog({ log: stores.log, vaultId, node: newId<Incarnation>(systemClock.now()), configDigest });
    const copied = { type: 'log.read', outcome: 'success', detail: loggable('backup', 128), actor: { kind: 'system' } } as const;
    await stores.unitOfWork.run(async (tx) => {
      await accessLog.append(tx, copied);
      while ((await stores.log.assign(tx, ASSIGNED_AT_ONCE)) > 0); // with its index, so that a checkpoint over it does not make the copy look older than it is
    });
  } finally {
    await stores.close();
  }
}

export interface Restored {
  readonly facts: BackupFacts;
  readonly blobs: CopiedBlobs;
  /** Records that were signed and are not in this backup. */
  readonly lostRecords: number;
}

/**
 * Puts a vault back where `config` says, from a backup that is verified first: the database's digest, the access log down to every record,
 * every manifest, every blob. Refuses to overwrite (`already_initialized`), and to go back behind what the kept checkpoint says was
 * signed (`log_rolled_back`) unless `acceptLostRecords`; then the log says how many are lost. `heads`: of the HSM, where it answers; else its
 * checkpoint is compared at the next start alone.
 */
export async function restore(
  config: Config,
  folder: string,
  options: { readonly acceptLostRecords: boolean; readonly heads?: HeadObjects | undefined; readonly onBytes?: OnBytes },
): Promise<Restored> {
  if (existsSync(config.database)) throw new VaultError('already_initialized', 'there is a database where the restored one would be');
  const facts = await readFacts(folder);
  if (facts.vaultId !== config.vaultId || facts.vaultDocument !== config.vaultDocument) {
    throw new VaultError('configuration_invalid', 'the backup is of another vault than vault.json names');
  }
  const found = await fileFacts(join(folder, DATABASE));
  if (found.sha256 !== facts.database.sha256) throw new VaultError('digest_mismatch', 'the database of the backup was altered');
  const { blobs, lostRecords, key } = await withCopy(config, folder, async (vault) => {
    await assertLog(vault);
    const key = logKeyOf(vault);
    const lost = await lostSince(config, key, facts.records, options.heads);
    if (lost > 0 && !options.acceptLostRecords)
      throw new VaultError('log_rolled_back', `${lost} records that were signed are not in this backup`);
    await mkdir(config.blobs, { recursive: true, mode: 0o700 });
    const [from, to] = [await createFsBlobStore({ folder: join(folder, 'blobs') }), await createFsBlobStore({ folder: config.blobs })];
    return { blobs: await copyBlobs(vault, from, to, options.onBytes ?? (() => {})), lostRecords: lost, key };
  });
  if (lostRecords > 0) await options.heads?.write(hsmHeadName(key), new Uint8Array(0)).catch(keepsNone);
  if (lostRecords > 0 && config.logHead !== undefined) {
    await rename(config.logHead, `${config.logHead}.before-restore`);
    await beginHeadFile(config.logHead);
  }
  await putDatabase(join(folder, DATABASE), config.database);
  await recordRestore(config, facts, lostRecords);
  return { facts, blobs, lostRecords };
}

/** The copy of the database in a backup folder, read only. */
async function withCopy<T>(config: Config, folder: string, use: (vault: StoredVault) => Promise<T>): Promise<T> {
  const stores = await openSqliteStores({ file: join(folder, DATABASE), clock: systemClock, readOnly: true });
  try {
    return await use(await storedVault(stores, config));
  } finally {
    await stores.close();
  }
}

async function assertLog(vault: StoredVault): Promise<void> {
  const [problem] = (await verifyStoredLog(vault))?.problems ?? [];
  if (problem !== undefined) throw new VaultError(problem.code, `access log of the backup: ${problem.detail}`);
}

/** How many records the kept checkpoint covers that the backup does not have. */
async function lostSince(config: Config, key: VerifierKey, records: number, heads: HeadObjects | undefined): Promise<number> {
  const stores = [
    ...(config.logHead === undefined ? [] : [createHeadFile(config.logHead)]),
    ...(heads === undefined ? [] : [createHsmHead(heads, key)]),
  ];
  const sizes = await Promise.all(
    stores.map(async (store) => {
      const kept = await store.read();
      return kept === undefined ? 0 : openCheckpoint(kept, key).size;
    }),
  );
  return Math.max(0, ...sizes.map((size) => size - records));
}

const logKeyOf = ({ identity }: StoredVault) => verifierKey(identity.origin, Buffer.from(identity.logKey.publicKey, 'base64'));

function keepsNone(error: unknown): void {
  if (codeOf(error) !== 'hsm_mechanism_missing') throw error;
}

/** Appears under its name only whole. */
async function putDatabase(from: string, to: string): Promise<void> {
  const next = join(dirname(to), `.${basename(to)}.restoring`);
  await mkdir(dirname(to), { recursive: true, mode: 0o700 });
  await copyFile(from, next);
  const handle = await open(next, 'r+');
  try {
    await handle.chmod(0o600);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(next, to);
}

async function recordRestore(config: Config, facts: BackupFacts, lostRecords: number): Promise<void> {
  const stores = await openSqliteStores({ file: config.database, clock: systemClock });
  try {
    const node = newId<Incarnation>(systemClock.now());
    const accessLog = createAccessLog({ log: stores.log, vaultId: config.vaultId, node, configDigest: config.digest });
    await stores.unitOfWork.run((tx) =>
      accessLog.append(tx, {
        type: 'vault.restored',
        outcome: 'success',
        actor: { kind: 'system' },
        detail: loggable(`backup of ${facts.createdAt}, ${facts.records} records; ${lostRecords} signed records lost`, 128),
      }),
    );
  } finally {
    await stores.close();
  }
}

async function refuseForeignBackup(config: Config, folder: string): Promise<void> {
  if (!existsSync(join(folder, FACTS))) return;
  if ((await readFacts(folder)).vaultId !== config.vaultId) throw new VaultError('usage', 'the folder holds a backup of another vault');
}

async function readFacts(folder: string): Promise<BackupFacts> {
  const text = await readFile(join(folder, FACTS), 'utf8').catch((cause) => {
    throw new VaultError('usage', `${FACTS} is not there: this is no backup, or one that was not finished`, { cause });
  });
  try {
    return factsFile.parse(JSON.parse(text));
  } catch (cause) {
    throw new VaultError('digest_mismatch', `${FACTS} is not what a backup writes`, { cause });
  }
}

async function fileFacts(file: string): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(file)) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { sha256: hash.digest('hex'), bytes };
}

async function writeDurable(file: string, text: string): Promise<void> {
  await writeFile(`${file}.next`, text, { mode: 0o600, flush: true });
  await rename(`${file}.next`, file);
}

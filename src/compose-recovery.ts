/** Composition root of a recovery: a stored vault whose HSM is lost, shares of its recovery key, and a new HSM. */
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { createAccessLog } from './audit/access-log.ts';
import { openCheckpoint } from './audit/checkpoint.ts';
import { createHeadFile } from './audit/head-file/head-file.ts';
import { verifierKey } from './audit/vkey.ts';
import { startKeys } from './compose.ts';
import type { Config } from './config/config.ts';
import { equalBytes } from './domain/bytes.ts';
import { systemClock } from './domain/clock.ts';
import { VaultError } from './domain/errors.ts';
import { type Incarnation, newId, SYSTEM } from './domain/ids.ts';
import { combineShares, type RecoveryShare } from './keys/recovery-shares.ts';
import { recoveryKeyOf, recoveryOpener } from './keys/recovery-wrap.ts';
import { snapshotSqlite } from './stores/sqlite/snapshot.ts';
import { openSqliteStores } from './stores/sqlite/sqlite-stores.ts';
import type { Logger } from './telemetry/logger.ts';
import { inForce } from './vault/documents.ts';
import { type Recovered, recover } from './vault/recover.ts';
import { type StoredVault, storedVault, verifyStoredLog } from './vault/stored-vault.ts';

/** Beside the database, until the recovery is complete and `finish` put it in its place. */
const working = (config: Config) => `${config.database}.recovering`;

/**
 * Verifies the stored vault and the shares, then recovers into the HSM that `config.keeper` names, on a copy of the database. The copy is not in
 * place yet: write vault.json with the new digest first, then call `finish`. `recovery_share_invalid`, `recovery_shares_too_few`,
 * `log_rolled_back`, or what the log's verification finds; then nothing was changed but perhaps keys made in the new HSM.
 */
export async function recoverVault(config: Config, shares: readonly RecoveryShare[], log: Logger): Promise<Recovered> {
  using seed = await combineShares(shares);
  await rm(working(config), { force: true });
  await refuseServing(config);
  snapshotSqlite(config.database, working(config), systemClock);
  const { keys, stop } = await startKeys(config, log, true);
  try {
    const stores = await openSqliteStores({ file: working(config), clock: systemClock });
    try {
      const old = await storedVault(stores, config);
      await assertSound(config, old);
      await assertInForce((await recoveryKeyOf(seed)).keyId, old);
      const now = systemClock.now();
      const node = newId<Incarnation>(now);
      const accessLog = createAccessLog({ log: stores.log, vaultId: config.vaultId, node, configDigest: config.digest });
      return await recover({ old, keys, accessLog }, await recoveryOpener(seed), now);
    } finally {
      await stores.close();
    }
  } finally {
    await stop();
  }
}

/** Puts the recovered database in place and keeps the one before it beside, then the checkpoint under the new log key. Doing it twice does no harm. */
export async function finishRecovery(config: Config, { checkpoint }: Pick<Recovered, 'checkpoint'>): Promise<void> {
  if (existsSync(working(config))) {
    for (const suffix of ['', '-wal', '-shm']) {
      if (existsSync(config.database + suffix)) await rename(config.database + suffix, `${config.database}.before-recovery${suffix}`);
    }
    await rename(working(config), config.database);
  }
  if (config.logHead !== undefined && checkpoint !== undefined) await createHeadFile(config.logHead).write(checkpoint);
}

async function refuseServing(config: Config): Promise<void> {
  const stores = await openSqliteStores({ file: config.database, clock: systemClock, readOnly: true });
  try {
    const serving = await stores.unitOfWork.run((tx) => stores.releases.anyNodeLives(tx));
    if (serving) throw new VaultError('usage', 'a vault serves this database, or did a moment ago: stop it first');
  } finally {
    await stores.close();
  }
}

/** From a log that was edited nothing is learned, and one that was put back is not continued. */
async function assertSound(config: Config, old: StoredVault): Promise<void> {
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

async function assertInForce(keyId: string, old: StoredVault): Promise<void> {
  const found = await old.stores.unitOfWork.run((tx) => inForce('recovery-key', SYSTEM, tx, old));
  if (found === undefined) throw new VaultError('key_state_conflict', 'this vault has no recovery key');
  if (found.body.keyId !== keyId)
    throw new VaultError('recovery_share_invalid', 'the shares are of another recovery key than this vault has');
}

/** Composition root of a recovery: a stored vault whose HSM is lost, shares of its recovery key, and a new HSM. */
import { rm } from 'node:fs/promises';
import { createAccessLog } from './audit/access-log.ts';
import { startKeys } from './compose.ts';
import { assertSound, putInPlace, refuseServing, withStored } from './compose-successor.ts';
import type { Config } from './config/config.ts';
import { systemClock } from './domain/clock.ts';
import { VaultError } from './domain/errors.ts';
import { type Incarnation, newId, SYSTEM } from './domain/ids.ts';
import { combineShares, type RecoveryShare } from './keys/recovery-shares.ts';
import { recoveryKeyOf, recoveryOpener } from './keys/recovery-wrap.ts';
import { snapshotSqlite } from './stores/sqlite/snapshot.ts';
import type { Logger } from './telemetry/logger.ts';
import { inForce } from './vault/documents.ts';
import { type Recovered, recover } from './vault/recover.ts';
import type { StoredVault } from './vault/stored-vault.ts';

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
    return await withStored(working(config), config, async (old) => {
      await assertSound(config, old);
      await assertInForce((await recoveryKeyOf(seed)).keyId, old);
      const now = systemClock.now();
      const node = newId<Incarnation>(now);
      const accessLog = createAccessLog({ log: old.stores.log, vaultId: config.vaultId, node, configDigest: config.digest });
      return await recover({ old, keys, accessLog }, await recoveryOpener(seed), now);
    });
  } finally {
    await stop();
  }
}

/** Puts the recovered database in place and keeps the one before it beside, then the checkpoint under the new log key. Doing it twice does no harm. */
export function finishRecovery(config: Config, { checkpoint }: Pick<Recovered, 'checkpoint'>): Promise<void> {
  return putInPlace(config, working(config), { before: 'before-recovery', checkpoint });
}

async function assertInForce(keyId: string, old: StoredVault): Promise<void> {
  const found = await old.stores.unitOfWork.run((tx) => inForce('recovery-key', SYSTEM, tx, old));
  if (found === undefined) throw new VaultError('key_state_conflict', 'this vault has no recovery key');
  if (found.body.keyId !== keyId)
    throw new VaultError('recovery_share_invalid', 'the shares are of another recovery key than this vault has');
}

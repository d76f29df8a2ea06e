/** A clock that was set back must not shorten a waiting period: it is compared with the access log, which nobody can put back unseen. */
import { VaultError } from '../domain/errors.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import type { Vault } from './vault.ts';

/** Machines that follow a time server differ by less. */
const SLACK_MS = 60_000;

/** The transaction's time, or that of the newest access record if it is later. `clock_regressed` when it is later by more than a minute. */
export async function timeAfterLog(tx: Tx, { stores }: Pick<Vault, 'stores'>): Promise<Date> {
  const newest = await stores.log.newestLeaf(tx);
  const recordedMs = newest === undefined ? 0 : Date.parse(String(JSON.parse(Buffer.from(newest).toString('utf8')).time));
  if (Number.isNaN(recordedMs)) throw new VaultError('log_entry_mismatch', 'the newest record says no time');
  if (recordedMs - tx.now.getTime() > SLACK_MS) {
    throw new VaultError('clock_regressed', `the newest record is of ${new Date(recordedMs).toISOString()}`);
  }
  return new Date(Math.max(recordedMs, tx.now.getTime()));
}

/** That a process of the vault began and ended, and with which configuration: every record states its digest, these two are there to state it. */
import { loggable } from '../audit/record.ts';
import { VaultError } from '../domain/errors.ts';
import type { Digest } from '../domain/ids.ts';
import { timeAfterLog } from './time-after-log.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'stores' | 'accessLog'>;

/** And whether the clock stands before what is on record already: later nobody can tell, because what is written then has its time. */
export async function recordStart({ stores, accessLog }: Ports, vaultDocument: Digest): Promise<void> {
  const document = { kind: 'vault', digest: vaultDocument } as const;
  const actor = { kind: 'system' } as const;
  await stores.unitOfWork.run(async (tx) => {
    const regressed = await timeAfterLog(tx, { stores }).then(() => undefined, regressionOf);
    await accessLog.append(tx, { type: 'vault.started', outcome: 'success', actor, document });
    if (regressed === undefined) return;
    const { code: reason, detail } = regressed;
    await accessLog.append(tx, { type: 'clock.anomaly', outcome: 'failure', reason, detail: loggable(detail, 256), actor });
  });
}

function regressionOf(error: unknown): VaultError {
  if (error instanceof VaultError && error.code === 'clock_regressed') return error;
  throw error;
}

/** A process that was killed has none; the next one's start, and `release.unknown`, are what tells of it. */
export async function recordStop({ stores, accessLog }: Ports): Promise<void> {
  await stores.unitOfWork.run((tx) => accessLog.append(tx, { type: 'vault.stopped', outcome: 'success', actor: { kind: 'system' } }));
}

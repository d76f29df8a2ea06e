/** What was raised, for people. */
import type { AlertRow } from '../audit/alerts/port.ts';
import { loggable } from '../audit/record.ts';
import { VaultError } from '../domain/errors.ts';
import { type RecordId, SYSTEM } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { type AdminActor, actorOf, authorize, personalOf } from './authorize.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>;

/** Newest first, at most `limit`, older than `before`; `next` goes on. Recorded as `log.read`. */
export async function listAlerts(
  actor: AdminActor,
  { limit, before }: { readonly limit: number; readonly before?: RecordId | undefined },
  vault: Ports,
) {
  await authorize(actor, 'readLog', SYSTEM, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const alerts = await vault.stores.alerts.alerts(tx, limit, before);
    await recordRead(actor, 'alerts', tx, vault);
    const next = alerts.length === limit ? alerts.at(-1)?.recordId : undefined;
    return { alerts: alerts.map(shown), ...(next !== undefined && { next }) };
  });
}

/** One alert: `record_unknown` when there is none of that record. */
export async function readAlert(actor: AdminActor, recordId: RecordId, vault: Ports) {
  await authorize(actor, 'readLog', SYSTEM, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const alert = await vault.stores.alerts.alert(tx, recordId);
    if (alert === undefined) throw new VaultError('record_unknown', recordId);
    await recordRead(actor, `alert ${recordId}`, tx, vault);
    return shown(alert);
  });
}

function shown({ dedupeKey: _, acted, ...alert }: AlertRow) {
  return { ...alert, ...(acted !== undefined && { acted }) };
}

async function recordRead(actor: AdminActor, what: string, tx: Tx, vault: Ports): Promise<void> {
  await vault.accessLog.append(tx, {
    type: 'log.read',
    outcome: 'success',
    detail: loggable(what, 128),
    actor: actorOf(actor),
    request: { requestId: loggable(actor.requestId, 64) },
    personal: personalOf(actor),
  });
}

/** Sends what was raised, and a sign of life. Beside everything else: nothing waits for a receiver. */
import { type AlertMessage, alertMessage, asSyslog, asText, heartbeatMessage } from '../audit/alerts/message.ts';
import type { DeliveryRow } from '../audit/alerts/port.ts';
import { sendEmail } from '../audit/delivery/email.ts';
import { sendSyslog } from '../audit/delivery/syslog-tls.ts';
import { postWebhook } from '../audit/delivery/webhook.ts';
import { loggable } from '../audit/record.ts';
import type { AlertTarget } from '../documents/alert-delivery.ts';
import { utf8 } from '../domain/bytes.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { addSeconds } from '../domain/clock.ts';
import { codeOf, type ErrorCode, VaultError } from '../domain/errors.ts';
import { newId, SYSTEM } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { inForce } from './documents.ts';
import type { Vault } from './vault.ts';

export type DeliveryPorts = Pick<Vault, 'vaultId' | 'node' | 'stores' | 'catalogueKey' | 'accessLog'>;

/** The secret of a target: of a webhook 24 to 64 bytes, of a mail server its password. Undefined when there is none. */
export type SecretOf = (target: string) => Promise<Uint8Array | undefined>;

const AT_ONCE = 16;
const DEADLINE_MS = 20_000;
const FIRST_RETRY_SECONDS = 5;
const LAST_RETRY_SECONDS = 3_600;
const GIVE_UP_SECONDS = 86_400;
const KEPT_DAYS = 90;

export interface AlertDelivery {
  /** The heartbeat when it is due, then what waits: begun, not awaited, so that a receiver that hangs is in nobody's way. Rejects when the store does; nothing is lost then. */
  round(): Promise<void>;
  /** Resolves when nothing is under way any more. */
  idle(): Promise<void>;
}

/** `onSettled`: a receiver is free again, and more may wait for it. `onFailure`: the store did not take what became of a delivery; it is due again later. */
export function createAlertDelivery(
  vault: DeliveryPorts,
  secretOf: SecretOf,
  { onSettled, onFailure }: { readonly onSettled: () => void; readonly onFailure: (error: unknown) => void },
): AlertDelivery {
  const { unitOfWork, alerts } = vault.stores;
  /** One batch of a target at a time. */
  const underWay = new Map<string, Promise<void>>();

  function begin(name: string, sending: Promise<unknown>): void {
    const settled = sending
      .catch(onFailure)
      .then(() => void underWay.delete(name))
      .then(onSettled);
    underWay.set(name, settled);
  }

  async function beginDue(targets: ReadonlyMap<string, AlertTarget>): Promise<number> {
    const until = (tx: Tx) => addSeconds(tx.now, (2 * DEADLINE_MS) / 1000);
    const due = await unitOfWork.run((tx) => alerts.takeDue(tx, { limit: AT_ONCE, until: until(tx), busy: [...underWay.keys()] }));
    for (const [name, rows] of Map.groupBy(due, ({ target }) => target))
      begin(name, Promise.all(rows.map((row) => deliverOne(row, targets.get(name), vault, secretOf))));
    return due.length;
  }

  return {
    async round() {
      const delivery = await unitOfWork.run(async (tx) => (await inForce('alert-delivery', SYSTEM, tx, vault))?.body);
      const targets = delivery?.targets ?? [];
      const beaten = await beat(delivery?.heartbeatSeconds ?? DEFAULTS.alertHeartbeatSeconds, vault);
      if (beaten !== undefined) begin(`heartbeat ${beaten.at}`, sendBeat(beaten, targets, secretOf)); // no target has a space in its name
      await unitOfWork.run((tx) => endStorm(targets, tx, vault));
      const named = new Map(targets.map((target) => [target.name, target]));
      while ((await beginDue(named)) === AT_ONCE); // the targets of a full batch are busy now: the next one is of others
    },
    async idle() {
      while (underWay.size > 0) await Promise.all(underWay.values());
    },
  };
}

/** What a storm kept back is told in one message, once there is room again. */
async function endStorm(targets: readonly AlertTarget[], tx: Tx, { stores }: DeliveryPorts): Promise<void> {
  if ((await stores.alerts.sentSince(tx, addSeconds(tx.now, -60))) >= DEFAULTS.alertsPerMinute) return;
  const { count, newest } = await stores.alerts.takeStorm(tx);
  if (newest === undefined) return;
  for (const { name: target } of targets) await stores.alerts.enqueue(tx, { recordId: newest, target, repeated: 0, storm: count });
}

async function deliverOne(row: DeliveryRow, target: AlertTarget | undefined, vault: DeliveryPorts, secretOf: SecretOf): Promise<void> {
  const { unitOfWork, alerts } = vault.stores;
  const { recordId } = row;
  const alert = await unitOfWork.run((tx) => alerts.alert(tx, recordId));
  if (target === undefined || alert === undefined) return unitOfWork.run((tx) => alerts.settle(tx, recordId, row.target)); // it is no longer wanted
  try {
    await sendAlert(alertMessage(alert, row, vault.vaultId), target, vault.node, secretOf);
    await unitOfWork.run((tx) => alerts.settle(tx, recordId, row.target));
  } catch (error) {
    await unitOfWork.run((tx) => failed(row, codeOf(error), tx, vault));
  }
}

/** The first failure and the last are on record; in between it is tried with growing pauses, of random length so that many do not come at once. */
async function failed({ recordId, target, attempts, since }: DeliveryRow, reason: ErrorCode, tx: Tx, vault: DeliveryPorts): Promise<void> {
  const given = since < addSeconds(tx.now, -GIVE_UP_SECONDS);
  if (given) await vault.stores.alerts.settle(tx, recordId, target);
  else {
    const pause = Math.min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** Math.min(attempts, 12));
    await vault.stores.alerts.retry(tx, recordId, target, addSeconds(tx.now, pause * (0.5 + Math.random() / 2)));
  }
  if (!given && attempts > 0) return;
  await vault.accessLog.append(tx, {
    type: 'alert.undelivered',
    outcome: 'failure',
    reason,
    detail: loggable(`${target}: ${recordId}${given ? ', given up' : ''}`, 256),
    actor: { kind: 'system' },
  });
}

/** The leaf of a heartbeat that is due, and what to send of it. Of several processes one beats. */
function beat(everySeconds: number, vault: DeliveryPorts): Promise<ReturnType<typeof heartbeatMessage> | undefined> {
  const { unitOfWork, alerts, log, cursors } = vault.stores;
  return unitOfWork.run(async (tx) => {
    const state = await alerts.beat(tx, everySeconds, DEFAULTS.alertHeartbeatLateSeconds);
    if (state === 'not-yet') return undefined;
    await vault.accessLog.append(tx, {
      type: 'log.heartbeat',
      outcome: 'success',
      actor: { kind: 'system' },
      ...(state === 'late' && { signals: ['late' as const] }),
    });
    await alerts.purge(tx, addSeconds(tx.now, -KEPT_DAYS * 86_400));
    const records = await log.assignedSize(tx);
    const behind = records - ((await cursors.cursor(tx, 'alerts'))?.next ?? 0);
    return heartbeatMessage(vault.vaultId, tx.now, everySeconds, records, behind);
  });
}

/** One that does not arrive is not sent again: its absence is the message. */
function sendBeat(beaten: ReturnType<typeof heartbeatMessage>, targets: readonly AlertTarget[], secretOf: SecretOf): Promise<unknown> {
  const webhooks = targets.filter(({ kind }) => kind === 'webhook');
  return Promise.allSettled(webhooks.map((target) => post(target, newId<string>(new Date(beaten.at)), beaten, secretOf)));
}

/** Once. Rejects `sink_refused`, `sink_untrusted`, `sink_unreachable`. */
export async function sendAlert(message: AlertMessage, target: AlertTarget, node: string, secretOf: SecretOf): Promise<void> {
  if (target.kind === 'webhook') return post(target, message.recordId, message, secretOf);
  const signal = AbortSignal.timeout(DEADLINE_MS);
  if (target.kind === 'syslog') return sendSyslog(target, [asSyslog(message, node)], signal);
  const password = target.user === undefined ? undefined : await secretOf(target.name);
  if (target.user !== undefined && password === undefined) throw new VaultError('sink_refused', `there is no password for ${target.name}`);
  return sendEmail(
    { ...target, password: password && Buffer.from(password).toString('utf8') },
    { id: message.recordId, ...asText(message) },
    signal,
  );
}

async function post(target: AlertTarget, id: string, message: object, secretOf: SecretOf): Promise<void> {
  if (target.kind !== 'webhook') return;
  const secret = await secretOf(target.name);
  if (secret === undefined) throw new VaultError('sink_refused', `there is no secret for ${target.name}`);
  const body = utf8(JSON.stringify(message));
  await postWebhook({ ...target, secret }, { id, contentType: 'application/json', body }, new Date(), AbortSignal.timeout(DEADLINE_MS));
}

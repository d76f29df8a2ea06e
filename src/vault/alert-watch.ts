/**
 * Watches the access log: runs the rules in force over each record, once, and raises what fires. The alert's leaf, what the vault stops by
 * itself and what is to be sent are written in the transaction that moves the cursor: a crash raises nothing twice and loses nothing.
 */
import { createEngine, type Engine, type EngineState, type Fired } from '../audit/alerts/engine.ts';
import { loadRuleSet } from '../audit/alerts/rule-set.ts';
import type { LogReader } from '../audit/follower.ts';
import type { LeafRow } from '../audit/port.ts';
import { ALERT_LEVELS, loggable, type RecordType } from '../audit/record.ts';
import type { AlertDelivery } from '../documents/alert-delivery.ts';
import { sha256Hex } from '../domain/bytes.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { addSeconds } from '../domain/clock.ts';
import type { ErrorCode } from '../domain/errors.ts';
import {
  type Digest,
  isId,
  type ModelId,
  type Namespace,
  newId,
  parseDigest,
  type RecordId,
  type SubjectId,
  SYSTEM,
} from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { inForce } from './documents.ts';
import { writeStop } from './stop.ts';
import type { Vault } from './vault.ts';

export type AlertPorts = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog' | 'revocations'>;

/** Records looked at again after a start, so that windows are as they were: what the kept state does not have yet. */
const REPLAY = 4_096;

interface Watching {
  readonly ruleSet: Digest;
  readonly engine: Engine;
  /** The next record the engine has not seen. */
  at: number;
  /** What fired since `from`, and is not written yet. */
  pending: Array<Fired & { readonly index: number }>;
  keptAtMs: number;
  keptAt: number;
}

/** `onRaised`: something was raised, and is durable. */
export function createAlertReader(vault: AlertPorts, onRaised: () => void = () => undefined): LogReader {
  let watching: Watching | undefined;
  let raised = 0;

  return {
    async deliver(leaves) {
      const [first] = leaves;
      if (first === undefined) return;
      const rules = await vault.stores.unitOfWork.run((tx) => inForce('alert-rules', SYSTEM, tx, vault));
      if (rules === undefined) {
        watching = undefined;
        return;
      }
      if (watching === undefined || watching.ruleSet !== rules.digest || watching.at < first.index) {
        watching = await begin(rules.digest, rules.body.rules, first.index, vault);
      }
      const current = watching;
      current.pending = current.pending.filter(({ index }) => index >= first.index); // what is given again was not written
      for (const { index, leaf } of leaves) {
        if (index < current.at) continue;
        current.pending.push(...current.engine.observe(index, leaf).map((fired) => ({ ...fired, index })));
        current.at = index + 1;
      }
    },
    async apply(tx, leaves) {
      raised = 0;
      const current = watching;
      if (current === undefined) return;
      const delivery = current.pending.length > 0 ? (await inForce('alert-delivery', SYSTEM, tx, vault))?.body : undefined;
      const upTo = (leaves.at(-1)?.index ?? 0) + 1;
      const due = current.pending.filter(({ index }) => index < upTo);
      for (const fired of due) await raise(fired, delivery, tx, vault);
      raised = due.length;
      await keepNowAndThen(current, upTo, tx, vault);
    },
    moved() {
      if (raised > 0) onRaised();
    },
  };
}

/** With the state that was kept, if it is of these rules; what came since is looked at again, and raises nothing: it was raised then. */
async function begin(ruleSet: Digest, rules: Readonly<Record<string, string>>, at: number, vault: AlertPorts): Promise<Watching> {
  const loaded = loadRuleSet(rules);
  const { kept, missed } = await vault.stores.unitOfWork.run(async (tx) => {
    const found = await vault.stores.alerts.keptEngine(tx);
    const usable = found?.ruleSet === ruleSet && found.at <= at && at - found.at <= REPLAY ? found : undefined;
    const leaves: readonly LeafRow[] = usable === undefined ? [] : await vault.stores.log.leaves(tx, usable.at, at);
    return { kept: usable, missed: leaves };
  });
  const state = kept && (JSON.parse(Buffer.from(kept.state).toString('utf8')) as EngineState); // written below
  const engine = createEngine(loaded, state);
  for (const { index, leaf } of missed) engine.observe(index, leaf);
  return { ruleSet, engine, at, pending: [], keptAtMs: 0, keptAt: kept?.at ?? at };
}

/** Not with each batch: windows can be large. What is missing is looked at again. */
async function keepNowAndThen(watching: Watching, upTo: number, tx: Tx, vault: AlertPorts): Promise<void> {
  if (watching.at !== upTo) return;
  const soon = tx.now.getTime() - watching.keptAtMs < DEFAULTS.alertKeepSeconds * 1000 && upTo - watching.keptAt < REPLAY / 2;
  if (soon) return;
  const state = Buffer.from(JSON.stringify(watching.engine.state()));
  await vault.stores.alerts.keepEngine(tx, { ruleSet: watching.ruleSet, at: upTo, state });
  watching.keptAtMs = tx.now.getTime();
  watching.keptAt = upTo;
}

async function raise(fired: Fired, delivery: AlertDelivery | undefined, tx: Tx, vault: AlertPorts): Promise<void> {
  const { rule, indexes, dedupeKey } = fired;
  const recordId = newId<RecordId>(tx.now);
  const [first = 0, last = first] = [indexes[0], indexes.at(-1)];
  const group = Object.fromEntries(Object.entries(fired.group).map(([name, value]) => [name, loggable(value, 128)]));
  const acted = rule.automatic ? await act(fired, recordId, tx, vault) : undefined;
  await vault.accessLog.append(tx, {
    recordId,
    type: 'alert.raised',
    outcome: 'success',
    actor: { kind: 'system' },
    detail: loggable(acted === undefined ? rule.title : `${rule.title}: ${acted}`, 256),
    alert: {
      rule: loggable(rule.alert, 16),
      ruleId: loggable(rule.ruleId, 64),
      level: rule.level,
      matches: indexes.length,
      first,
      last,
      indexesDigest: parseDigest(sha256Hex(Buffer.from(indexes.map((index) => `${index}\n`).join('')))),
      group,
    },
  });
  const targets = (delivery?.targets ?? []).filter(({ minimum }) => ALERT_LEVELS.indexOf(rule.level) >= ALERT_LEVELS.indexOf(minimum));
  const { sending, repeated } = await howToSend(dedupeKey, targets.length, tx, vault);
  const { alert, ruleId, title, level } = rule;
  const row = { recordId, raisedAt: tx.now, rule: alert, ruleId, title, level, dedupeKey, matches: indexes.length, first, last, group };
  await vault.stores.alerts.insert(tx, { ...row, sending, acted });
  if (sending !== 'sent') return;
  for (const { name: target } of targets) await vault.stores.alerts.enqueue(tx, { recordId, target, repeated, storm: 0 });
}

/** One of a key in five minutes, and at most so many in a minute: the rest is counted. */
async function howToSend(dedupeKey: string, targets: number, tx: Tx, { stores }: AlertPorts) {
  const { at, repeated } = await stores.alerts.lastSent(tx, dedupeKey);
  if (targets === 0) return { sending: 'nowhere' as const, repeated };
  if (at !== undefined && at > addSeconds(tx.now, -DEFAULTS.alertRepeatSeconds)) return { sending: 'repeated' as const, repeated };
  const inTheLastMinute = await stores.alerts.sentSince(tx, addSeconds(tx.now, -60));
  return { sending: inTheLastMinute >= DEFAULTS.alertsPerMinute ? ('storm' as const) : ('sent' as const), repeated };
}

/** Stops what the rule says, as the system, naming the alert. Two people lift it. What is not known cannot be stopped: that is said. */
async function act({ rule, fields, group }: Fired, recordId: RecordId, tx: Tx, vault: AlertPorts): Promise<string> {
  const said = (name: string) => String(group[name] ?? fields.get(name)?.[0] ?? '');
  const namespace = said('namespace') as Namespace; // of a leaf of ours
  const by = { actor: { kind: 'system' as const }, detail: loggable(`alert ${rule.alert} ${recordId}`, 128) };
  if (rule.action === 'lockdown') {
    const stop = await writeStop(namespace || SYSTEM, { scope: namespace === '' ? 'vault' : 'namespace' }, by, tx, vault);
    return `lockdown ${stop.stopId}`;
  }
  const target = rule.action === 'block' ? said('actor.subjectId') || said('release.subjectId') : said('object.modelId');
  if (namespace === '' || !isId(target)) return 'nothing to stop is known';
  const wanted =
    rule.action === 'block'
      ? ({ scope: 'requester', target: target as SubjectId } as const)
      : ({ scope: 'model', target: target as ModelId } as const);
  const stop = await writeStop(namespace, wanted, by, tx, vault);
  return `${rule.action} ${stop.stopId}`;
}

/**
 * For what stops the log itself: its record gets no index while the log is halted, so nobody who follows the log would ever see it. The record
 * and its alert are durable when this resolves; the index they name is where the record will stand.
 */
export async function raiseAtOnce(type: RecordType, reason: ErrorCode, vault: AlertPorts): Promise<void> {
  await vault.stores.unitOfWork.run(async (tx) => {
    const recordId = await vault.accessLog.append(tx, { type, outcome: 'failure', reason, actor: { kind: 'system' } });
    const rules = await inForce('alert-rules', SYSTEM, tx, vault);
    const row = await vault.stores.log.leafByRecord(tx, recordId);
    if (rules === undefined || row === undefined) return;
    const delivery = (await inForce('alert-delivery', SYSTEM, tx, vault))?.body;
    const engine = createEngine(loadRuleSet(rules.body.rules));
    for (const fired of engine.observe(await vault.stores.log.assignedSize(tx), row.leaf)) await raise(fired, delivery, tx, vault);
  });
}

/** How far each sink is behind: for figures, the doctor, reviewers, and the record that says so. */
import { loggable } from '../audit/record.ts';
import { saidBy, textAt } from '../audit/said.ts';
import type { LogSink } from '../documents/log-sinks.ts';
import { DEFAULTS } from '../domain/classes.ts';
import type { ErrorCode } from '../domain/errors.ts';
import { type Incarnation, SYSTEM } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { type AdminActor, authorize } from './authorize.ts';
import { inForce } from './documents.ts';
import type { Vault } from './vault.ts';

export interface SinkState {
  readonly name: string;
  readonly kind: LogSink['kind'];
  /** Index of the first record that was not delivered. */
  readonly next: number;
  readonly behind: number;
  /** Age of that record; 0 when nothing waits. */
  readonly lagSeconds: number;
  readonly lagging: boolean;
  readonly holder?: Incarnation;
}

/** `lagging`: the oldest record waits longer than a minute, or many wait. */
export function sinkStates(vault: Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey'>): Promise<readonly SinkState[]> {
  const { unitOfWork, cursors, log } = vault.stores;
  return unitOfWork.run(async (tx) => {
    const size = await log.assignedSize(tx);
    const states: SinkState[] = [];
    for (const { name, kind } of await sinksInForce(tx, vault)) {
      const cursor = await cursors.cursor(tx, `sink/${name}`);
      const next = cursor?.next ?? size;
      const [row] = await log.leaves(tx, next, next + 1);
      const since = Date.parse((row && textAt(saidBy(row.leaf), 'time')) ?? '');
      const lagSeconds = Number.isNaN(since) ? 0 : Math.max(0, (tx.now.getTime() - since) / 1000);
      const behind = size - next;
      const lagging = lagSeconds > DEFAULTS.sinkLagSeconds || behind > DEFAULTS.sinkLagRecords;
      states.push({ name, kind, next, behind, lagSeconds, lagging, ...(cursor && { holder: cursor.holder }) });
    }
    return states;
  });
}

/** What this process has told, and why the last try of a sink failed. */
export interface SinkTelling {
  readonly lagging: Set<string>;
  readonly failures: ReadonlyMap<string, ErrorCode>;
}

/** One record when a sink begins to lag and one when it has caught up, by the process that reads for it. */
export async function tellLagging(
  states: readonly SinkState[],
  { lagging, failures }: SinkTelling,
  { stores, accessLog, node }: Pick<Vault, 'stores' | 'accessLog' | 'node'>,
): Promise<void> {
  for (const { name, lagging: now, behind, holder } of states) {
    if (holder !== node || lagging.has(name) === now) continue;
    await stores.unitOfWork.run((tx) =>
      accessLog.append(tx, {
        type: 'log.lagging',
        outcome: now ? 'failure' : 'success',
        reason: now ? failures.get(name) : undefined,
        detail: loggable(now ? `sink ${name}: ${behind} records wait` : `sink ${name} has caught up`, 256),
        actor: { kind: 'system' },
      }),
    );
    if (now) lagging.add(name);
    else lagging.delete(name);
  }
}

/** For reviewers: where records are sent and how far each sink is. Says nothing of what records hold. */
export async function readSinks(
  actor: AdminActor,
  vault: Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>,
): Promise<{ readonly sinks: ReadonlyArray<Omit<SinkState, 'holder'>> }> {
  await authorize(actor, 'readLog', SYSTEM, vault);
  return { sinks: (await sinkStates(vault)).map(({ holder: _, ...state }) => state) };
}

/** Those of the signed document; none before there is one. Throws `document_invalid` when it was altered. */
export async function sinksInForce(tx: Tx, vault: Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey'>): Promise<readonly LogSink[]> {
  return (await inForce('log-sinks', SYSTEM, tx, vault))?.body.sinks ?? [];
}

/** How far each sink is behind: for figures, the doctor, reviewers, and the record that says so. */
import { loggable, type RecordType } from '../audit/record.ts';
import { saidBy, textAt } from '../audit/said.ts';
import type { LogSink } from '../documents/log-sinks.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { type ErrorCode, isTampering, VaultError } from '../domain/errors.ts';
import { type Refusal, refuse } from '../domain/evidence.ts';
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
  /** Age of that record; 0 when nothing waits. One that is absent, or says no time that can be read, counts from 1970: it may be of any age. */
  readonly lagSeconds: number;
  readonly lagging: boolean;
  /** Whether releases must not outrun it, and whether they do: then nothing new is released. */
  readonly required: boolean;
  readonly refusing: boolean;
  readonly holder?: Incarnation;
}

type StatePorts = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey'>;

export function sinkStates(vault: StatePorts): Promise<readonly SinkState[]> {
  return vault.stores.unitOfWork.run(async (tx) => {
    const size = await vault.stores.log.assignedSize(tx);
    const states: SinkState[] = [];
    for (const sink of await sinksInForce(tx, vault)) states.push(await stateOf(sink, size, tx, vault));
    return states;
  });
}

/** `lagging`: the oldest record waits longer than a minute, or many wait, or more than a required sink may have waiting. */
async function stateOf(sink: LogSink, size: number, tx: Tx, { stores }: StatePorts): Promise<SinkState> {
  const { name, kind, required } = sink;
  const cursor = await stores.cursors.cursor(tx, `sink/${name}`);
  const next = cursor?.next ?? (sink.from === 'first' ? 0 : size);
  const [row] = await stores.log.leaves(tx, next, next + 1);
  const behind = size - next;
  const since = Date.parse((row && textAt(saidBy(row.leaf), 'time')) ?? '') || 0;
  const lagSeconds = behind === 0 ? 0 : Math.max(0, (tx.now.getTime() - since) / 1000);
  // Nobody reads for a sink that has no place yet: within seconds somebody does, and until then nothing is sure.
  const refusing = required !== undefined && (cursor === undefined || lagSeconds > required.seconds || behind > required.records);
  const lagging = refusing || lagSeconds > DEFAULTS.sinkLagSeconds || behind > DEFAULTS.sinkLagRecords;
  const state = { name, kind, next, behind, lagSeconds, lagging, required: required !== undefined, refusing };
  return { ...state, ...(cursor && { holder: cursor.holder }) };
}

/**
 * In the transaction that would release something: `log_sink_behind` while a sink that releases must not outrun is too far behind. Costs nothing where
 * no sink is required. Throws `document_invalid` when the document was altered: then nobody knows which are.
 */
export async function assertSinksFollow(tx: Tx, vault: StatePorts): Promise<void> {
  const required = (await sinksInForce(tx, vault)).filter((sink) => sink.required !== undefined);
  if (required.length === 0) return;
  const size = await vault.stores.log.assignedSize(tx);
  for (const sink of required) {
    const { refusing, behind } = await stateOf(sink, size, tx, vault);
    if (refusing) throw new VaultError('log_sink_behind', `sink ${sink.name}: ${behind} records wait`);
  }
}

/** The same for a release: that the document was altered is a refusal on record, like any other document's. */
export async function refuseOutrun(tx: Tx, vault: StatePorts): Promise<Refusal | undefined> {
  try {
    await assertSinksFollow(tx, vault);
    return undefined;
  } catch (error) {
    if (error instanceof VaultError && isTampering(error.code)) return refuse(error.code, error.detail);
    throw error;
  }
}

/** What this process has told, and why the last try of a sink failed. */
export interface SinkTelling {
  readonly lagging: Set<string>;
  readonly refusing: Set<string>;
  readonly failures: ReadonlyMap<string, ErrorCode>;
}

/** One record when a sink begins to lag and one when it has caught up, by the process that reads for it; the same of one that stops releases. */
export async function tellLagging(
  states: readonly SinkState[],
  { lagging, refusing, failures }: SinkTelling,
  { stores, accessLog, node }: Pick<Vault, 'stores' | 'accessLog' | 'node'>,
): Promise<void> {
  for (const state of states) {
    if (state.holder !== node) continue;
    const { name, behind } = state;
    const tell = async (told: Set<string>, now: boolean, type: RecordType, reason: ErrorCode | undefined, detail: string) => {
      if (told.has(name) === now) return;
      const draft = { outcome: now ? ('failure' as const) : ('success' as const), reason, detail: loggable(detail, 256) };
      await stores.unitOfWork.run((tx) => accessLog.append(tx, { type, ...draft, actor: { kind: 'system' } }));
      if (now) told.add(name);
      else told.delete(name);
    };
    const wait = `sink ${name}: ${behind} records wait`;
    if (state.lagging) await tell(lagging, true, 'log.lagging', failures.get(name), wait);
    else await tell(lagging, false, 'log.lagging', undefined, `sink ${name} has caught up`);
    if (state.refusing) await tell(refusing, true, 'log.refusing', 'log_sink_behind', wait);
    else await tell(refusing, false, 'log.accepting', undefined, `sink ${name}`);
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

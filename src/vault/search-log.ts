/** Searching the access log. What is found is the leaf itself, as it is hashed; the index only says where to look. */

import { setTimeout as sleep } from 'node:timers/promises';
import { saidBy, textAt } from '../audit/said.ts';
import { type Said, type SearchField, saidFields, searchTerm } from '../audit/search/entry.ts';
import type { FoundStep, SearchStep, Tally } from '../audit/search/port.ts';
import { VaultError } from '../domain/errors.ts';
import { isId, type Namespace, SYSTEM } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { type AdminActor, authorize } from './authorize.ts';
import { recordRead } from './review.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>;

export interface LogQuery {
  /** What a record must say, all of it. `principal` and `model` may be names in `namespace`. */
  readonly says: Readonly<Partial<Record<SearchField, string>>>;
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
  readonly minBytes?: number | undefined;
  readonly order: 'newest' | 'oldest';
  /** First index to look at, in that order; absent: from the end that the order begins with. */
  readonly at?: number | undefined;
  readonly limit: number;
  /** How long to wait for a record, when there is none; that somebody read the log counts as none, or following it would never rest. */
  readonly waitSeconds?: number | undefined;
}

export interface LogPage {
  readonly records: ReadonlyArray<{ readonly index: number; readonly leaf: string }>;
  /** Pass it as `at`. A page may be short, or empty, and still have one: a call looks only so far. */
  readonly next?: number;
  /** Records below this index are searchable. */
  readonly indexed: number;
}

/** How long one call searches. Each step is a transaction of its own, so that releases go on in between. */
const SEARCH_MS = 60;
/** So that an answer stays small: leaves are 16 KiB at most, and half a KiB as a rule. */
const PAGE_BYTES = 2_000_000;

/** `namespace`: what a reviewer of one namespace sees, records of it alone. Absent: the whole log. Recorded as `log.read`. */
export async function searchLog(actor: AdminActor, query: LogQuery, namespace: Namespace | undefined, vault: Ports): Promise<LogPage> {
  await authorize(actor, 'readLog', namespace ?? SYSTEM, vault);
  const says = await vault.stores.unitOfWork.run(async (tx) => {
    await recordRead(actor, { path: `search ${describe(query)}`, namespace }, tx, vault);
    return idsOf(namespace === undefined ? query.says : { ...query.says, namespace }, tx, vault);
  });
  return awaitPage({ ...query, says }, vault);
}

async function awaitPage(query: LogQuery, vault: Ports): Promise<LogPage> {
  const untilMs = performance.now() + (query.waitSeconds ?? 0) * 1000;
  const before: Array<LogPage['records'][number]> = [];
  for (let at = query.at; ; ) {
    const page = await findPage({ ...query, at }, vault);
    before.push(...page.records);
    const rest = page.records.every(({ leaf }) => textAt(saidBy(Buffer.from(leaf)), 'type') === 'log.read');
    if (!rest || before.length >= query.limit || performance.now() >= untilMs) return { ...page, records: before };
    at = page.next ?? page.indexed;
    await sleep(LOOK_MS);
  }
}

const LOOK_MS = 500;

export interface LogTotals {
  readonly tallies: readonly Tally[];
  readonly indexed: number;
}

/** Records and bytes by day, namespace, type, outcome and reason. Recorded as `log.read`. */
export async function logTotals(
  actor: AdminActor,
  { from, to }: { readonly from: Date; readonly to: Date },
  namespace: Namespace | undefined,
  vault: Ports,
): Promise<LogTotals> {
  await authorize(actor, 'readLog', namespace ?? SYSTEM, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const [fromDay, toDay] = [dayOf(from), dayOf(to)];
    await recordRead(actor, { path: `totals ${fromDay} to ${toDay}`, namespace }, tx, vault);
    const indexed = await indexedTo(tx, vault);
    const tallies = indexed === 0 ? [] : await vault.stores.search.tallies(tx, { fromDay, toDay, namespace }); // those of before are being taken away
    return { tallies, indexed };
  });
}

export interface IndexState {
  readonly indexed: number;
  readonly records: number;
}

/** How far the index is. Says nothing of what records hold. */
export async function readIndex(actor: AdminActor, vault: Ports): Promise<IndexState> {
  await authorize(actor, 'readLog', SYSTEM, vault);
  return vault.stores.unitOfWork.run((tx) => indexState(tx, vault));
}

/** From now on the index holds nothing; what it held is taken away and made again from the leaves in the background. Recorded as `log.read`. */
export async function rebuildIndex(actor: AdminActor, vault: Ports): Promise<IndexState> {
  await authorize(actor, 'readLog', SYSTEM, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    await recordRead(actor, { path: 'index rebuilt' }, tx, vault);
    await vault.stores.cursors.drop(tx, 'search'); // a batch under way can then not be added any more
    return indexState(tx, vault);
  });
}

/** What `searchLog` finds, without asking whether it may and without a record of it. */
export async function findPage(query: LogQuery, vault: Pick<Vault, 'stores'>): Promise<LogPage> {
  const { unitOfWork, search, log } = vault.stores;
  const untilMs = performance.now() + SEARCH_MS;
  const indexed = await unitOfWork.run((tx) => indexedTo(tx, vault));
  const records: Array<{ index: number; leaf: string }> = [];
  let bytes = 0;
  let next: number | undefined = query.at ?? (query.order === 'newest' ? indexed - 1 : 0);
  while (next !== undefined && records.length < query.limit && bytes < PAGE_BYTES) {
    const step = stepOf(query, next, query.limit - records.length);
    const found: FoundStep & { readonly leaves: readonly Uint8Array[] } = await unitOfWork.run(async (tx) => {
      const { indexes, ...rest } = await search.find(tx, step);
      const rows = await Promise.all(indexes.map((index) => log.leaves(tx, index, index + 1)));
      return { indexes, ...rest, leaves: rows.flatMap((row) => row.map(({ leaf }) => leaf)) };
    });
    for (const [at, leaf] of found.leaves.entries()) {
      if ((found.indexes[at] ?? 0) >= indexed || !fits(saidFields(saidBy(leaf)), query)) continue; // newer than what `indexed` states, or another thing with the same term
      bytes += leaf.length;
      records.push({ index: found.indexes[at] ?? 0, leaf: Buffer.from(leaf).toString('utf8') });
    }
    next = found.next;
    if (performance.now() > untilMs) break;
  }
  return { records, indexed, ...(next !== undefined && { next }) };
}

function stepOf({ says, from, to, minBytes, order }: LogQuery, start: number, limit: number): SearchStep {
  const terms = Object.entries(says).map(([field, value]) => searchTerm(field as SearchField, value)); // the keys of `says`
  return { terms, fromMs: from?.getTime(), toMs: to?.getTime(), minBytes, order, start, limit };
}

function fits(said: Said, { says }: LogQuery): boolean {
  return Object.entries(says).every(([field, value]) => said.get(field as SearchField)?.includes(value));
}

/** Names become ids. `subject_unknown` or `model_unknown` when nobody and nothing has the name. */
async function idsOf(says: LogQuery['says'], tx: Tx, { stores }: Ports): Promise<LogQuery['says']> {
  const { principal, model, namespace } = says;
  const named = (value: string | undefined): value is string => value !== undefined && !isId(value);
  const within = (namespace ?? 'default') as Namespace; // compared, never believed
  const modelId = named(model) ? (await stores.catalog.modelByName(tx, within, model))?.modelId : model;
  if (named(model) && modelId === undefined) throw new VaultError('model_unknown', model);
  const requester = named(principal) ? (await stores.identity.subjectByName(tx, within, principal))?.subjectId : undefined;
  const person = named(principal) ? (await stores.identity.administratorByName(tx, principal))?.administratorId : undefined;
  const principalId = named(principal) ? (requester ?? person) : principal;
  if (named(principal) && principalId === undefined) throw new VaultError('subject_unknown', principal);
  return { ...says, ...(modelId !== undefined && { model: modelId }), ...(principalId !== undefined && { principal: principalId }) };
}

export async function indexState(tx: Tx, vault: Pick<Vault, 'stores'>): Promise<IndexState> {
  return { indexed: await indexedTo(tx, vault), records: await vault.stores.log.assignedSize(tx) };
}

async function indexedTo(tx: Tx, { stores }: Pick<Vault, 'stores'>): Promise<number> {
  return (await stores.cursors.cursor(tx, 'search'))?.next ?? 0;
}

/** As it is recorded. */
function describe({ says, from, to, minBytes, order, at }: LogQuery): string {
  const words = Object.entries({ ...says, from: from?.toISOString(), to: to?.toISOString(), minBytes, order, at });
  return words.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`])).join(' ');
}

function dayOf(date: Date): string {
  return date.toISOString().slice(0, 10);
}

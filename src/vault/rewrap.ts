/**
 * After a rotation: wraps every DEK and every authenticator seed anew under the active version of its KEK, in batches, as fast as was asked
 * for. Promise P8: each is replaced by one compare-and-set of one row, together with its record, after the HSM has opened the new blob; a crash
 * leaves it under exactly one version. How far it came is kept too, so that the next process goes on and people can watch; what is still to be
 * done the blobs say.
 */
import type { RecoveryWrap, RewrapJob, WrappedDek } from '../catalog/port.ts';
import { addSeconds } from '../domain/clock.ts';
import { VaultError } from '../domain/errors.ts';
import { type Namespace, SYSTEM } from '../domain/ids.ts';
import { KEYS_PER_SECOND } from '../domain/key-state.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import type { KeyRef } from '../keys/port.ts';
import { type RecoveryKey, wrapForRecovery } from '../keys/recovery-wrap.ts';
import { type DekContext, decodeWrappedKey, dekWrapAad, encodeWrappedKey, type WrappedKey } from '../keys/wrapped-key.ts';
import { activeOf, kekName, keyRings, sameKey } from './key-ring.ts';
import { recoveryKeyInForce } from './recovery.ts';
import { rewrapSeed } from './rewrap-seed.ts';
import { knownStops } from './stops.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'node' | 'stores' | 'catalogueKey' | 'kek' | 'keys' | 'accessLog'>;

/** Keys in one batch: as many go to the HSM at once, and are put in place by one transaction. */
const BATCH = 50;
/** Another process takes over after that. Two at once would do no harm, only the work twice. */
const LEASE_SECONDS = 2;
/** After a pass that could not do everything, in this process. */
const TRY_AGAIN_MS = 60_000;

export interface Rewrapper {
  /** One batch. `idle`: there is nothing to do now, or another process does it. `waitMs`: before the next, so that the rate is kept. */
  round(): Promise<{ readonly idle: boolean; readonly waitMs: number }>;
}

const IDLE = { idle: true, waitMs: 0 };

/** `onFailure`: a key that cannot be rewrapped is left as it is, under the version that opens it, and does not stop the others. */
export function createRewrapper(vault: Ports, onFailure: (what: string, error: unknown) => void): Rewrapper {
  let pausedUntil = 0;
  return {
    async round() {
      const startedAt = performance.now();
      if (startedAt < pausedUntil) return IDLE;
      const work = await vault.stores.unitOfWork.run((tx) => nextBatch(tx, vault));
      if (work === undefined) return IDLE;
      const last = work.page.length < BATCH;
      const counts = await rewrapBatch(work, vault, onFailure);
      if (last) add(counts, await rewrapSeeds(work.targets, vault, onFailure));
      const job = await vault.stores.unitOfWork.run((tx) => keepScore(work, counts, last, tx, vault));
      if (last && job?.finishedAt === undefined) pausedUntil = performance.now() + TRY_AGAIN_MS;
      const budgetMs = (counts.rewrapped * 1000) / work.job.keysPerSecond;
      return { idle: last, waitMs: Math.max(0, budgetMs - (performance.now() - startedAt)) };
    },
  };
}

/** What new keys of each namespace are wrapped under, and what is suspended. */
interface Targets {
  readonly system: KeyRef | undefined;
  readonly own: ReadonlyMap<Namespace, KeyRef>;
  readonly suspended: ReadonlySet<string>;
  readonly recovery: RecoveryKey | undefined;
}

interface Work {
  readonly job: RewrapJob;
  readonly targets: Targets;
  readonly page: readonly WrappedDek[];
}

interface Counts {
  rewrapped: number;
  failed: number;
  waiting: number;
}

function add(to: Counts, more: Counts): void {
  to.rewrapped += more.rewrapped;
  to.failed += more.failed;
  to.waiting += more.waiting;
}

/** The next versions to look at, with the lease on the job; undefined when all is done or another process has it. */
async function nextBatch(tx: Tx, vault: Ports): Promise<Work | undefined> {
  const rings = await keyRings(tx, vault);
  const recovery = await recoveryKeyInForce(tx, vault);
  if (rings.every(({ counter }) => counter === 0) && recovery === undefined) return undefined;
  const target = [...rings.map(({ namespace, counter }) => `${namespace}:${counter}`), recovery?.keyId ?? ''].join(' ').trimEnd();
  const found = await vault.stores.catalog.rewrapJob(tx);
  if (found !== undefined && found.holder !== vault.node && found.leaseUntil > tx.now) return undefined;
  const same = found?.target === target ? found : undefined;
  if (same?.finishedAt !== undefined) return undefined;
  const mine = { holder: vault.node, leaseUntil: addSeconds(tx.now, LEASE_SECONDS), updatedAt: tx.now };
  const job: RewrapJob = { ...(same ?? (await newJob(target, found?.keysPerSecond, tx, vault))), ...mine };
  await vault.stores.catalog.putRewrapJob(tx, job);
  const own = rings.flatMap((ring) => {
    const active = activeOf(ring);
    return active === undefined || ring.namespace === SYSTEM ? [] : [[ring.namespace, active] as const];
  });
  const stops = (await knownStops(tx, vault)).filter((stop) => stop.scope === 'key' && !stop.lifted);
  const system = rings.find(({ namespace }) => namespace === SYSTEM);
  return {
    job,
    targets: {
      system: system && activeOf(system),
      own: new Map(own),
      recovery,
      suspended: new Set(stops.map((stop) => String(stop.target))),
    },
    page: await vault.stores.catalog.wrappedDeks(tx, BATCH, job.after),
  };
}

async function newJob(target: string, keysPerSecond: number | undefined, tx: Tx, { stores, node }: Ports): Promise<RewrapJob> {
  const people = (await stores.identity.administrators(tx)).length;
  return {
    target,
    total: (await stores.catalog.countVersions(tx)) + people,
    done: 0,
    rewrapped: 0,
    failed: 0,
    waiting: 0,
    keysPerSecond: keysPerSecond ?? KEYS_PER_SECOND.usual,
    startedAt: tx.now,
    updatedAt: tx.now,
    holder: node,
    leaseUntil: tx.now,
  };
}

interface Rewrapped {
  readonly row: WrappedDek;
  /** Absent when only the recovery wrap is new. */
  readonly under?: { readonly kek: KeyRef; readonly blob: Uint8Array };
  readonly forRecovery?: RecoveryWrap;
}

async function rewrapBatch({ page, targets }: Work, vault: Ports, onFailure: (what: string, error: unknown) => void): Promise<Counts> {
  const counts = { rewrapped: 0, failed: 0, waiting: 0 };
  const fail = (row: WrappedDek, error: unknown) => {
    if (error instanceof VaultError && error.retryable) throw error; // the HSM or the disk is away: the next round begins here again
    counts.failed++;
    onFailure(`version ${row.versionId}`, error);
  };
  const asked = page.map(async (row) => ({ row, outcome: await rewrapDek(row, targets, vault).catch((error: unknown) => ({ error })) }));
  const ready: Rewrapped[] = [];
  let away: unknown;
  for (const { row, outcome } of await Promise.all(asked)) {
    if (outcome === 'right') continue;
    if (outcome === 'waits') counts.waiting++;
    else if ('row' in outcome) ready.push(outcome);
    else if (outcome.error instanceof VaultError && outcome.error.retryable) away ??= outcome.error;
    else fail(row, outcome.error);
  }
  counts.rewrapped = await putAll(ready, vault).catch((error: unknown) => {
    if (error instanceof VaultError && error.retryable) throw error;
    return putOneByOne(ready, vault, fail);
  });
  if (away !== undefined) throw away; // what came through is in place
  return counts;
}

async function rewrapDek(
  row: WrappedDek,
  { system, own, suspended, recovery }: Targets,
  vault: Ports,
): Promise<Rewrapped | 'right' | 'waits'> {
  const wrapped = decodeWrappedKey(row.wrappedDek);
  const to = own.get(row.namespace) ?? system;
  if (to === undefined || suspended.has(kekName(to)) || suspended.has(kekName(wrapped.kek))) return 'waits';
  const context = { vaultId: vault.vaultId, namespace: row.namespace, modelId: row.modelId, versionId: row.versionId };
  const unprotected = recovery !== undefined && row.recoveryKeyId !== recovery.keyId;
  if (sameKey(wrapped.kek, to) && !unprotected) return 'right';
  const forRecovery = unprotected && { forRecovery: await wrapAgain(wrapped, recovery, context, vault) };
  if (sameKey(wrapped.kek, to)) return { row, ...forRecovery };
  const again = await vault.keys.rewrap(wrapped, dekWrapAad(context, wrapped.kek), to, dekWrapAad(context, to));
  return { row, under: { kek: to, blob: encodeWrappedKey(again) }, ...forRecovery };
}

/** The one place where a DEK of a stored version is in this process without a release: for as long as it takes to wrap it. */
async function wrapAgain(wrapped: WrappedKey, recovery: RecoveryKey, context: DekContext, vault: Ports): Promise<RecoveryWrap> {
  using dek = await vault.keys.unwrap(wrapped, dekWrapAad(context, wrapped.kek));
  return { keyId: recovery.keyId, wrapped: await wrapForRecovery(dek, recovery, context) };
}

/** Each by its own compare-and-set with its own record, all in one transaction. Resolves with how many were not changed by somebody else meanwhile. */
function putAll(ready: readonly Rewrapped[], vault: Ports): Promise<number> {
  return vault.stores.unitOfWork.run(async (tx) => {
    let put = 0;
    for (const { row, under, forRecovery } of ready) {
      if (under !== undefined && !(await vault.stores.catalog.rewrap(tx, row.versionId, row.wrappedDek, under.blob))) continue; // another was quicker
      put++;
      if (forRecovery !== undefined) await vault.stores.catalog.putRecoveryWrap(tx, row.versionId, forRecovery);
      if (under === undefined) continue;
      await vault.accessLog.append(tx, {
        type: 'key.rewrapped',
        outcome: 'success',
        namespace: row.namespace,
        actor: { kind: 'system' },
        object: { modelId: row.modelId, versionId: row.versionId },
        key: under.kek,
      });
    }
    return put;
  });
}

/** One row that cannot be written must not stand in the way of the others. */
async function putOneByOne(ready: readonly Rewrapped[], vault: Ports, fail: (row: WrappedDek, error: unknown) => void): Promise<number> {
  let put = 0;
  for (const one of ready) {
    try {
      put += await putAll([one], vault);
    } catch (error) {
      fail(one.row, error);
    }
  }
  return put;
}

async function rewrapSeeds({ system }: Targets, vault: Ports, onFailure: (what: string, error: unknown) => void): Promise<Counts> {
  const counts = { rewrapped: 0, failed: 0, waiting: 0 };
  if (system === undefined) return counts;
  const people = await vault.stores.unitOfWork.run((tx) => vault.stores.identity.administrators(tx));
  for (const { administratorId } of people) {
    try {
      if (await rewrapSeed(administratorId, system, vault)) counts.rewrapped++;
    } catch (error) {
      if (error instanceof VaultError && error.retryable) throw error;
      counts.failed++;
      onFailure(`administrator ${administratorId}`, error);
    }
  }
  return counts;
}

/** Writes how far it came, unless the job is another one by now. A pass that left something begins anew. */
async function keepScore({ job, page }: Work, counts: Counts, last: boolean, tx: Tx, vault: Ports): Promise<RewrapJob | undefined> {
  const found = await vault.stores.catalog.rewrapJob(tx);
  if (found?.holder !== vault.node || found.target !== job.target || found.after !== job.after) return undefined;
  const score = {
    rewrapped: job.rewrapped + counts.rewrapped,
    failed: job.failed + counts.failed,
    waiting: job.waiting + counts.waiting,
  };
  const { after: _, ...rest } = found;
  const at = page.at(-1)?.versionId;
  const complete = last && score.failed === 0 && score.waiting === 0;
  const next: RewrapJob = {
    ...rest,
    ...score,
    ...(!last && at !== undefined && { after: at }),
    done: last ? job.total : job.done + page.length,
    updatedAt: tx.now,
    leaseUntil: addSeconds(tx.now, LEASE_SECONDS),
    ...(complete && { finishedAt: tx.now }),
  };
  await vault.stores.catalog.putRewrapJob(tx, last && !complete ? { ...next, done: 0, failed: 0, waiting: 0 } : next);
  return next;
}

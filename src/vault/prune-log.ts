/**
 * Carries out the signed retention policy: records older than it says are removed, whole bundles of 256 at a time, with the record that says so in the
 * same transaction. Hashes, checkpoints, proofs and receipts stay as they are. Never what a reader of the log (search, alerts, a sink) has not
 * had, what no closed period has where the policy asks for that, what is not signed yet, or a bundle that a start must find again (audit/pruned.ts).
 */
import type { LeafRow } from '../audit/port.ts';
import { mustStay } from '../audit/pruned.ts';
import { loggable } from '../audit/record.ts';
import { saidBy, textAt } from '../audit/said.ts';
import { searchEntry } from '../audit/search/entry.ts';
import { TILE_WIDTH } from '../audit/tile-path.ts';
import { SYSTEM } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { inForce } from './documents.ts';
import { sinksInForce } from './sink-lag.ts';
import { timeAfterLog } from './time-after-log.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>;

const DAY_MS = 86_400_000;
/** Of one transaction, some tens of milliseconds. */
const BUNDLES = 4;
const DISCLOSURES = 1_000;
const PERIOD_MS = 60_000;

/** One batch. True when there was something: there may be more. Throws `clock_regressed` when the clock stands before the log. */
export function pruneLog(vault: Ports): Promise<boolean> {
  return vault.stores.unitOfWork.run(async (tx) => {
    const policy = await inForce('log-retention', SYSTEM, tx, vault);
    const { recordDays, disclosureDays } = policy?.body ?? {};
    const now = await timeAfterLog(tx, vault);
    const before = (days: number) => new Date(now.getTime() - days * DAY_MS);
    const erased =
      disclosureDays === undefined ? 0 : await vault.stores.log.eraseDisclosuresBefore(tx, before(disclosureDays), DISCLOSURES);
    if (policy === undefined || recordDays === undefined) return erased > 0;
    const batch = await nextBatch(before(recordDays), policy.body.requireArchive === true, tx, vault);
    if (batch === undefined) return erased > 0;
    const { from, end, removed, kept } = batch;
    await vault.stores.search.remove(
      tx,
      removed.flatMap(({ rows }) => rows.map(searchEntry)),
    );
    await vault.stores.log.prune(
      tx,
      removed.map(({ bundle }) => bundle),
      end * TILE_WIDTH,
    );
    if (removed.length > 0) {
      await vault.accessLog.append(tx, {
        type: 'log.pruned',
        outcome: 'success',
        actor: { kind: 'system' },
        detail: loggable(`${removed.length * TILE_WIDTH} records`, 64),
        document: { kind: 'log-retention', digest: policy.digest },
        pruned: { from, before: end, kept },
      });
    }
    return true;
  });
}

interface Batch {
  readonly from: number;
  readonly end: number;
  readonly removed: ReadonlyArray<{ readonly bundle: number; readonly rows: readonly LeafRow[] }>;
  readonly kept: readonly number[];
}

/** The next bundles of which every record is older; undefined when there is none. */
async function nextBatch(olderThan: Date, requireArchive: boolean, tx: Tx, vault: Ports): Promise<Batch | undefined> {
  const { log } = vault.stores;
  const from = (await log.prunedBefore(tx)) / TILE_WIDTH;
  const most = Math.min(from + BUNDLES, await readByAll(tx, vault), await closedBundles(requireArchive, tx, vault));
  const batch = { removed: [] as Array<Batch['removed'][number]>, kept: [] as number[] };
  let end = from;
  for (; end < most; end++) {
    const rows = await log.leaves(tx, end * TILE_WIDTH, (end + 1) * TILE_WIDTH);
    if (!rows.every(({ leaf }) => Date.parse(textAt(saidBy(leaf), 'time') ?? '') < olderThan.getTime())) break; // no time is no age
    if (rows.some(({ leaf }) => mustStay(leaf))) batch.kept.push(end);
    else batch.removed.push({ bundle: end, rows });
  }
  return end === from ? undefined : { from, end, ...batch };
}

/** Bundles that are signed, are not the last, and were given to every reader: search, alerts, and each sink in force, one that has not begun included. */
async function readByAll(tx: Tx, vault: Ports): Promise<number> {
  const { stores } = vault;
  const head = await stores.log.head(tx);
  const cursors = await stores.cursors.all(tx);
  const sinks = (await sinksInForce(tx, vault)).map(({ name, from }) => ({ name: `sink/${name}`, from }));
  const unread = sinks.filter(({ name, from }) => from === 'first' && cursors.every((cursor) => cursor.name !== name)).map(() => 0);
  const ofReaders = cursors.filter(({ name }) => !name.startsWith('sink/') || sinks.some((sink) => sink.name === name));
  const readers = [...unread, ...ofReaders.map(({ next }) => next)];
  return Math.floor(Math.min((head?.size ?? 0) - 1, ...readers) / TILE_WIDTH);
}

/** Where the policy asks for it: whole bundles of closed periods, which somebody has an archive of. */
async function closedBundles(requireArchive: boolean, tx: Tx, vault: Ports): Promise<number> {
  if (!requireArchive) return Number.POSITIVE_INFINITY;
  const closed = await inForce('closed-log', SYSTEM, tx, vault);
  return Math.floor((closed?.body.size ?? 0) / TILE_WIDTH);
}

/** Once a minute, batch after batch until nothing is left. Call what it returns to stop. */
export function startPruning(vault: Ports, onFailure: (error: unknown) => void): () => Promise<void> {
  let stopped = false;
  let round: Promise<void> = Promise.resolve();
  const once = async () => {
    let done = false;
    while (!stopped && (await pruneLog(vault))) done = true;
    if (done) await vault.stores.purgeDeleted();
  };
  const timer = setInterval(() => {
    round = round.then(once).catch(onFailure);
  }, PERIOD_MS);
  return async () => {
    stopped = true;
    clearInterval(timer);
    await round;
  };
}

/**
 * Reads the log from a kept cursor on, in LeafIndex order, and hands each record over at least once: what search, alerts and sinks stand on.
 * It runs beside the releases, never in their way: small batches, no write while there is nothing to read, one reader at a time per cursor.
 */
import { DEFAULTS } from '../domain/classes.ts';
import { addSeconds } from '../domain/clock.ts';
import { codeOf, type ErrorCode } from '../domain/errors.ts';
import type { Incarnation } from '../domain/ids.ts';
import type { Tx, UnitOfWork } from '../domain/unit-of-work.ts';
import type { CursorName, CursorStore, LeafRow, LogStore } from './port.ts';

/** What is done with the records. Both get the same batch, `deliver` first; a batch is given again when either rejects. */
export interface LogReader {
  /**
   * Outside of any transaction, so it may wait for a network; at least once. It must settle before `signal` aborts: after that another process may
   * read the same records.
   */
  readonly deliver?: ((leaves: readonly LeafRow[], signal: AbortSignal) => Promise<void>) | undefined;
  /**
   * While the cursor stands at 0 nothing that was written for it counts: asked before the first batch, each time in a transaction of its own, until it says
   * that there is no more to take away. Whenever a process dies in between, the next one goes on.
   */
  readonly makeRoom?: ((tx: Tx) => Promise<boolean>) | undefined;
  /** In the transaction that moves the cursor: what it writes, it writes exactly once. */
  readonly apply?: ((tx: Tx, leaves: readonly LeafRow[]) => Promise<void>) | undefined;
  /** That transaction committed. */
  readonly moved?: (() => void) | undefined;
}

export interface FollowerOptions {
  readonly unitOfWork: UnitOfWork;
  readonly log: LogStore;
  readonly cursors: CursorStore;
  readonly name: CursorName;
  readonly node: Incarnation;
  /** Where a cursor begins that does not exist yet: with the first record, or with those that come from now on. */
  readonly from: 'first' | 'next';
  readonly reader: LogReader;
  /** Most records at a time, which bounds memory: 16 KiB each. */
  readonly batch?: number | undefined;
  /** A larger batch while more records than that wait, for a reader that gets cheaper by it. */
  readonly behind?: { readonly records: number; readonly batch: number } | undefined;
  /** After a failure the next try waits about this long, then twice as long, and so on. */
  readonly retryMs?: { readonly first: number; readonly most: number } | undefined;
  /** How long it waits before it looks again when there was nothing, unless it is woken. */
  readonly lookMs?: number | undefined;
  readonly onEvent?: ((event: FollowerEvent) => void) | undefined;
}

export type FollowerEvent =
  | { readonly kind: 'moved'; readonly name: CursorName; readonly next: number; readonly size: number }
  /** The same records are given again later. */
  | { readonly kind: 'failed'; readonly name: CursorName; readonly code: ErrorCode; readonly error: unknown; readonly inARow: number };

export type FollowResult =
  /** Or made room: there is more to do at once. */
  | 'moved'
  /** Nothing to read. */
  | 'idle'
  /** Another process has the cursor. */
  | 'standby'
  /** The lease was lost meanwhile: what was delivered will be delivered again, by another. */
  | 'lost'
  | 'failed';

export interface Follower {
  /** Batch after batch; looks again every `logFollowMs` when there is nothing. */
  start(): void;
  /** There may be something to read: looks at once, unless it waits after a failure. For a process that hears of new records before a timer does. */
  wake(): void;
  /** Ends after the batch under way and lets another process take over at once. */
  stop(): Promise<void>;
  /** One batch. Never rejects; the batches of one follower never overlap. */
  tick(): Promise<FollowResult>;
}

/** A batch begins with at least this much of the lease, and is delivered in half of it: nobody else begins while this one still delivers. */
const KEEP_SECONDS = (DEFAULTS.nodeLeaseSeconds * 2) / 3;
const DELIVER_MS = (KEEP_SECONDS * 1000) / 2;

interface Taken {
  readonly next: number;
  readonly to: number;
  readonly size: number;
  readonly leaves: readonly LeafRow[];
}

export function createFollower(options: FollowerOptions): Follower {
  const {
    onEvent = () => undefined,
    retryMs = { first: DEFAULTS.logFollowMs, most: 60_000 },
    name,
    lookMs = DEFAULTS.logFollowMs,
  } = options;
  let last: Promise<unknown> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  let running = false;
  let failures = 0;
  let waiting = false;
  let asked = false;

  async function once(): Promise<FollowResult> {
    try {
      const result = await round(options, onEvent);
      failures = 0;
      return result;
    } catch (error) {
      failures++;
      onEvent({ kind: 'failed', name, code: codeOf(error), error, inARow: failures });
      return 'failed';
    }
  }

  function tick(): Promise<FollowResult> {
    const next = last.then(once);
    last = next.catch(() => undefined); // only onEvent can throw; the next batch does not care
    return next;
  }

  function pauseMs(result: FollowResult): number {
    if (result === 'moved' || (asked && result !== 'failed')) return 0;
    if (result !== 'failed') return lookMs;
    const pause = Math.min(retryMs.most, retryMs.first * 2 ** Math.min(failures - 1, 20));
    return pause * (0.5 + Math.random() / 2); // so that many do not come at once
  }

  async function loop(): Promise<void> {
    [waiting, asked] = [false, false];
    const result = await tick().catch(() => 'failed' as const);
    if (!running) return;
    timer = setTimeout(() => void loop(), pauseMs(result));
    waiting = true;
  }

  return {
    start() {
      if (running) return;
      running = true;
      void loop();
    },
    wake() {
      asked = true;
      if (!running || !waiting || failures > 0) return;
      clearTimeout(timer);
      void loop();
    },
    async stop() {
      running = false;
      clearTimeout(timer);
      await last;
      const { unitOfWork, cursors, node } = options;
      await unitOfWork.run((tx) => cursors.release(tx, name, node)).catch(() => undefined); // costs the next one the rest of the lease
    },
    tick,
  };
}

async function round(options: FollowerOptions, onEvent: (event: FollowerEvent) => void): Promise<FollowResult> {
  const { unitOfWork, cursors, name, node, reader } = options;
  const taken = await unitOfWork.run((tx) => take(options, tx));
  if (typeof taken === 'string') return taken;
  const { next, to, size, leaves } = taken;
  const room = next === 0 ? await unitOfWork.run((tx) => madeRoom(options, tx)) : 'made';
  if (room !== 'made') return room;
  if (leaves.length > 0) await reader.deliver?.(leaves, AbortSignal.timeout(DELIVER_MS));
  const moved = await unitOfWork.run(async (tx) => {
    if (!(await cursors.move(tx, { name, holder: node, from: next, to }))) return false;
    if (leaves.length > 0) await reader.apply?.(tx, leaves);
    return true;
  });
  if (!moved) return 'lost';
  reader.moved?.();
  onEvent({ kind: 'moved', name, next: to, size });
  return 'moved';
}

/** By whoever has the cursor alone: another process may have filled the room meanwhile. */
async function madeRoom({ cursors, name, node, reader }: FollowerOptions, tx: Tx): Promise<'made' | 'moved' | 'lost'> {
  if (reader.makeRoom === undefined) return 'made';
  const cursor = await cursors.cursor(tx, name);
  if (cursor?.holder !== node || cursor.next !== 0) return 'lost';
  return (await reader.makeRoom(tx)) ? 'moved' : 'made';
}

/** Writes nothing unless there is something to read. Only records that have their index: their order never changes any more. */
async function take(options: FollowerOptions, tx: Tx): Promise<Taken | 'idle' | 'standby'> {
  const { log, cursors, name, node, batch = DEFAULTS.logFollowBatch } = options;
  const size = await log.assignedSize(tx);
  const cursor = await cursors.cursor(tx, name);
  const next = cursor?.next ?? (options.from === 'first' ? 0 : size);
  if (cursor !== undefined && next >= size) return 'idle';
  const held = cursor?.holder === node && cursor.leaseUntil >= addSeconds(tx.now, KEEP_SECONDS);
  const until = addSeconds(tx.now, DEFAULTS.nodeLeaseSeconds);
  if (!held && !(await cursors.acquire(tx, { name, holder: node, until, next }))) return 'standby';
  const { behind = { records: 0, batch } } = options;
  const end = Math.min(size, next + (size - next > behind.records ? behind.batch : batch));
  const leaves = await log.leaves(tx, next, end);
  // Below there are gaps, where records were pruned: then the batch ends where it would have ended with them.
  const to = next < (await log.prunedBefore(tx)) ? end : next + leaves.length;
  return to === next ? 'idle' : { next, to, size, leaves };
}

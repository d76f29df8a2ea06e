/**
 * UnitOfWork over one SQLite connection: one work at a time in this process, BEGIN IMMEDIATE against the others. Works that wait at the same time
 * share a transaction of the engine: one fsync makes all of them durable (group commit, without a timer). Each but the first is in a savepoint of its own.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../domain/clock.ts';
import { VaultError } from '../../domain/errors.ts';
import type { RunOptions, Tx, UnitOfWork } from '../../domain/unit-of-work.ts';
import { type Connection, isBusy, isDiskFailure, storeFailure } from './database.ts';
import { Deadline } from './deadline.ts';
import { SqliteTx } from './transaction.ts';

export interface Limits {
  /** Milliseconds to wait for the write lock of another connection. */
  readonly busyMs: number;
  /** Milliseconds `work` may take. What has not settled by then is rolled back, so that it cannot hold up everyone for ever. */
  readonly workMs: number;
  /** Milliseconds after which a round takes no more works in, and after which everyone else in this process gets a turn. */
  readonly roundMs: number;
}

const DISK_FAILED = 'a disk of this process failed';
const PURGE_PAUSE_MS = 20;
/** Milliseconds between two looks whether the lock of another connection is free: from the first, doubling, to the most. */
const LOOK_MS = { first: 1, most: 5 };
/**
 * On a slow disk a busy process would hold the lock nearly always, and the others look for it in vain: after so many milliseconds of slow rounds
 * it leaves the lock free for longer than they sleep.
 */
const GAP = { slowRoundMs: 20, afterMs: 150, ms: LOOK_MS.most + 3 };
const LIMITS: Limits = { busyMs: 5_000, workMs: 30_000, roundMs: 5 };

interface Job {
  readonly work: (tx: Tx) => Promise<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** What a work begins with, and how it is kept or taken back. */
interface Part {
  readonly open: readonly string[];
  readonly keep: readonly string[];
  readonly undo: readonly string[];
}

/** The first of a round: until the next one comes, the whole transaction is its own. */
const WHOLE: Part = { open: [], keep: [], undo: ['ROLLBACK'] };
const SAVEPOINT: Part = { open: ['SAVEPOINT work'], keep: ['RELEASE work'], undo: ['ROLLBACK TO work', 'RELEASE work'] };

export class SqliteUnitOfWork implements UnitOfWork {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #running = new AsyncLocalStorage<SqliteTx>();
  /** Who waits for a turn: those that go ahead, then the others in their order. */
  readonly #ahead: Job[] = [];
  readonly #queue: Job[] = [];
  /** What waits for a moment without a transaction. */
  readonly #pauses: Array<() => void> = [];
  #rounds: Promise<void> | undefined;
  /** Milliseconds of rounds since everyone else last had a turn: in this process, and of slow ones in the others. */
  #heldMs = 0;
  #heldSlowlyMs = 0;
  #lastNowMs = 0;
  #closed = false;
  /** The disk failed: what the engine would say from now on is not to be believed. */
  #failed = false;
  readonly #onDiskFailure: (error: unknown) => void;

  /** `onDiskFailure` is called once, when a read, write or fsync of the database failed; no work is acknowledged afterwards. */
  constructor(
    connection: Connection,
    clock: Clock,
    limits: Partial<Limits> = {},
    onDiskFailure: (error: unknown) => void = () => undefined,
  ) {
    this.#connection = connection;
    this.#clock = clock;
    this.#onDiskFailure = onDiskFailure;
    this.#limits = { ...LIMITS, ...limits };
  }

  /**
   * As the port says; SQLite never asks for `work` to be run a second time. Rejects with `store_unavailable` when another process
   * holds the lock for 5 s, when `work` takes longer than 30 s, or when the disk fails.
   */
  async run<T>(work: (tx: Tx) => Promise<T>, { ahead = false }: RunOptions = {}): Promise<T> {
    this.#refuseNested();
    if (this.#closed) throw new VaultError('store_unavailable', 'the stores are closed');
    if (this.#failed) throw new VaultError('store_unavailable', DISK_FAILED);
    return new Promise<T>((resolve, reject) => {
      const waiting = ahead ? this.#ahead : this.#queue;
      waiting.push({ work, resolve: (value) => resolve(value as T), reject }); // it is what this very work returned
      this.#rounds ??= this.#serve();
    });
  }

  /** As `Stores.purgeDeleted` says. Between transactions, and again for as long as a transaction would wait for a lock. */
  async purgeDeleted(): Promise<void> {
    this.#refuseNested();
    for (let waitedMs = 0; ; waitedMs += PURGE_PAUSE_MS) {
      if (await this.#between(() => this.#connection.truncateLog())) return;
      if (waitedMs >= this.#limits.busyMs) throw new VaultError('store_unavailable', 'another process reads the database');
      await sleep(PURGE_PAUSE_MS);
    }
  }

  /** Runs when no transaction is open. */
  #between<T>(work: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#pauses.push(() => {
        try {
          resolve(work());
        } catch (error) {
          this.#distrust(error);
          reject(storeFailure(error));
        }
      });
      this.#rounds ??= this.#serve();
    });
  }

  /** Lets what was begun finish, then closes the file. */
  async close(): Promise<void> {
    this.#refuseNested();
    if (this.#closed) return;
    this.#closed = true;
    await this.#rounds;
    this.#connection.close();
  }

  /** A transaction inside one of the same stores would wait for itself. */
  #refuseNested(): void {
    if (this.#running.getStore()?.live === true)
      throw new Error('a transaction of these stores is running here: pass its tx on instead of starting another');
  }

  /** As `Stores.giveUp` says. */
  giveUp(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    for (const job of [...this.#ahead.splice(0), ...this.#queue.splice(0)]) job.reject(new VaultError('store_unavailable', DISK_FAILED));
    this.#onDiskFailure(error);
  }

  /** A failed fsync may have dropped pages that later reads and fsyncs would call good: nothing of this process is believed any more. */
  #distrust(error: unknown): void {
    if (isDiskFailure(error)) this.giveUp(error);
  }

  async #serve(): Promise<void> {
    await undefined; // who asks at the same time as the first shares its round
    for (;;) {
      for (const pause of this.#pauses.splice(0)) pause();
      const first = this.#next();
      if (first === undefined) break;
      const startedAt = performance.now();
      await this.#round(first, startedAt + this.#limits.roundMs);
      const tookMs = performance.now() - startedAt;
      if (tookMs >= GAP.slowRoundMs) await this.#leaveGap(tookMs);
      this.#heldMs += tookMs;
      if (this.#heldMs < this.#limits.roundMs) continue;
      await setImmediate(); // a commit blocks for an fsync: in between everyone else gets a turn
      this.#heldMs = 0;
    }
    this.#rounds = undefined;
  }

  async #leaveGap(tookMs: number): Promise<void> {
    this.#heldSlowlyMs += tookMs;
    if (this.#heldSlowlyMs < GAP.afterMs) return;
    this.#heldSlowlyMs = 0;
    await sleep(GAP.ms);
  }

  #next(): Job | undefined {
    return this.#ahead.shift() ?? this.#queue.shift();
  }

  /** Never rejects: each job is told how its own work ended, once that is durable; when the round fails, nothing of it happened. */
  async #round(first: Job, untilMs: number): Promise<void> {
    const jobs: Job[] = [];
    const endings: Array<() => void> = [];
    const deadline = new Deadline(this.#limits.workMs);
    try {
      await this.#begin();
      for (let job: Job | undefined = first; job !== undefined; job = performance.now() < untilMs ? this.#next() : undefined) {
        jobs.push(job);
        const tell = await this.#attempt(job, deadline, jobs.length === 1 ? WHOLE : SAVEPOINT);
        if (!this.#connection.db.inTransaction) return tell(); // the first failed, and the transaction with it
        endings.push(tell);
      }
      this.#commit();
    } catch (error) {
      this.#rollback();
      this.#distrust(error);
      for (const job of jobs.length === 0 ? [first] : jobs) job.reject(storeFailure(error));
      return;
    } finally {
      deadline.end();
    }
    for (const tell of endings) tell();
  }

  /** A work that fails takes back what it did and nothing else. Rejects when the engine gave the whole transaction up. */
  async #attempt({ work, resolve, reject }: Job, deadline: Deadline, { open, keep, undo }: Part): Promise<() => void> {
    const tx = new SqliteTx(this.#connection, this.#now());
    this.#execute(open);
    try {
      const value = await deadline.run(() => this.#running.run(tx, work, tx));
      tx.end();
      this.#assertHeld();
      this.#execute(keep);
      return () => resolve(value);
    } catch (error) {
      tx.end();
      if (!this.#connection.db.inTransaction || isDiskFailure(error)) throw error;
      this.#execute(undo);
      return () => reject(storeFailure(error));
    }
  }

  #execute(statements: readonly string[]): void {
    for (const sql of statements) this.#connection.prepared(sql).run();
  }

  /**
   * Waits by asking again, not by SQLite's busy handler, which would block the event loop for all that time; soon again, because a busy
   * process leaves the lock free for moments only.
   */
  async #begin(): Promise<void> {
    for (let waitedMs = 0, pauseMs: number = LOOK_MS.first; ; waitedMs += pauseMs, pauseMs = Math.min(pauseMs * 2, LOOK_MS.most)) {
      try {
        return this.#beginNow();
      } catch (error) {
        if (!isBusy(error) || waitedMs >= this.#limits.busyMs) throw error;
      }
      await sleep(pauseMs);
    }
  }

  #beginNow(): void {
    const { db, readOnly } = this.#connection;
    if (!readOnly) return void db.exec('BEGIN IMMEDIATE');
    db.exec('BEGIN');
    try {
      this.#connection.prepared('SELECT max(version) FROM schema_version').get(); // the first read takes the snapshot
    } catch (error) {
      this.#rollback();
      throw error;
    }
  }

  #commit(): void {
    this.#assertHeld();
    if (this.#failed) throw new VaultError('store_unavailable', DISK_FAILED);
    this.#connection.db.exec('COMMIT');
  }

  #assertHeld(): void {
    if (!this.#connection.db.inTransaction) throw new VaultError('store_unavailable', 'the engine gave the transaction up');
  }

  #rollback(): void {
    try {
      if (this.#connection.db.inTransaction) this.#connection.db.exec('ROLLBACK');
    } catch {
      // The first failure is the one to tell; an unfinished transaction also ends with its connection.
    }
  }

  /** The database's time. It never goes back within this process, whatever the wall clock does. */
  #now(): number {
    this.#lastNowMs = Math.max(this.#lastNowMs, this.#clock.now().getTime());
    return this.#lastNowMs;
  }
}

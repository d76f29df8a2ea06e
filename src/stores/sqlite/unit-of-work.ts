/** UnitOfWork over one SQLite connection: one transaction at a time in this process, BEGIN IMMEDIATE against the others. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../domain/clock.ts';
import { VaultError } from '../../domain/errors.ts';
import type { RunOptions, Tx, UnitOfWork } from '../../domain/unit-of-work.ts';
import { type Connection, isBusy, storeFailure } from './database.ts';
import { SqliteTx } from './transaction.ts';

export interface Limits {
  /** Milliseconds to wait for the write lock of another connection. */
  readonly busyMs: number;
  /** Milliseconds `work` may take. What has not settled by then is rolled back, so that it cannot hold up everyone for ever. */
  readonly workMs: number;
}

const LIMITS: Limits = { busyMs: 5_000, workMs: 30_000 };

export class SqliteUnitOfWork implements UnitOfWork {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #running = new AsyncLocalStorage<SqliteTx>();
  /** Who waits for a turn: those that go ahead, then the others in their order. */
  readonly #ahead: Array<() => void> = [];
  readonly #queue: Array<() => void> = [];
  #busy = false;
  #lastNowMs = 0;
  #closed = false;

  constructor(connection: Connection, clock: Clock, limits: Limits = LIMITS) {
    this.#connection = connection;
    this.#clock = clock;
    this.#limits = limits;
  }

  /**
   * As the port says; SQLite never asks for `work` to be run a second time. Rejects with `store_unavailable` when another process
   * holds the lock for 5 s, when `work` takes longer than 30 s, or when the disk fails.
   */
  async run<T>(work: (tx: Tx) => Promise<T>, { ahead = false }: RunOptions = {}): Promise<T> {
    this.#refuseNested();
    if (this.#closed) throw new VaultError('store_unavailable', 'the stores are closed');
    return this.#inTurn(() => this.#transaction(work), ahead);
  }

  /** Lets what was begun finish, then closes the file. */
  async close(): Promise<void> {
    this.#refuseNested();
    if (this.#closed) return;
    this.#closed = true;
    await this.#inTurn(async () => this.#connection.close());
  }

  async #transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    let tx: SqliteTx | undefined;
    try {
      await this.#begin();
      tx = new SqliteTx(this.#connection, this.#now());
      const result = await this.#deadlined(tx, work);
      tx.end();
      this.#commit();
      return result;
    } catch (error) {
      tx?.end();
      this.#rollback();
      throw storeFailure(error);
    }
  }

  /** A transaction inside one of the same stores would wait for itself. */
  #refuseNested(): void {
    if (this.#running.getStore()?.live === true)
      throw new Error('a transaction of these stores is running here: pass its tx on instead of starting another');
  }

  async #inTurn<T>(task: () => Promise<T>, ahead = false): Promise<T> {
    if (this.#busy) await new Promise<void>((turn) => (ahead ? this.#ahead : this.#queue).push(turn));
    this.#busy = true;
    try {
      return await task();
    } finally {
      void setImmediate().then(() => this.#passOn()); // a commit blocks for an fsync: between two of them everyone else gets a turn
    }
  }

  #passOn(): void {
    const next = this.#ahead.shift() ?? this.#queue.shift();
    if (next === undefined) this.#busy = false;
    else next();
  }

  /** Waits by asking again, not by SQLite's busy handler, which would block the event loop for all that time. */
  async #begin(): Promise<void> {
    for (let waitedMs = 0, pauseMs = 1; ; waitedMs += pauseMs, pauseMs = Math.min(pauseMs * 2, 20)) {
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

  async #deadlined<T>(tx: SqliteTx, work: (tx: Tx) => Promise<T>): Promise<T> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => reject(new VaultError('store_unavailable', 'a transaction did not finish in time')),
      this.#limits.workMs,
    );
    try {
      return await Promise.race([this.#running.run(tx, async () => work(tx)), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #commit(): void {
    if (!this.#connection.db.inTransaction) throw new VaultError('store_unavailable', 'the engine gave the transaction up');
    this.#connection.db.exec('COMMIT');
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

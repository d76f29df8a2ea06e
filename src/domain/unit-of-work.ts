/** One transaction. Only a UnitOfWork makes it; stores of the same engine accept it. */
export interface Tx {
  /** The database's time at the start of the transaction: the one clock that every node agrees on. */
  readonly now: Date;
}

/**
 * Joins the stores in one transaction.
 * Durable (fsynced) when `run` resolves; when it rejects nothing happened. `work` sees its own writes, runs as if alone
 * (serializable) and may be run again after a conflict, so it has no effect outside the transaction: no HSM, no network,
 * no answer to a client inside it. Throws `store_unavailable` when the engine does not answer.
 */
export interface UnitOfWork {
  run<T>(work: (tx: Tx) => Promise<T>, options?: RunOptions): Promise<T>;
}

export interface RunOptions {
  /** Before those that wait in this process. For what must not be late under load: whether anything was stopped. */
  readonly ahead?: boolean;
}

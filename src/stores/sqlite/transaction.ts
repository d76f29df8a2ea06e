/** A transaction as the stores of this folder see it: the only way to a statement, so none can run outside of one. */
import type { Tx } from '../../domain/unit-of-work.ts';
import type { Connection } from './database.ts';

export type SqlValue = string | number | Uint8Array | null;
/** Named parameters; keys the statement does not name are ignored. */
export type SqlParams = Readonly<Record<string, SqlValue | Date | undefined>>;

/** Of one statement: beyond this it gets no faster. At most so many statements are prepared for each `sql`. */
const MANY_ROWS = 64;

export class SqliteTx implements Tx {
  readonly #connection: Connection;
  readonly #nowMs: number;
  #live = true;

  constructor(connection: Connection, nowMs: number) {
    this.#connection = connection;
    this.#nowMs = nowMs;
  }

  /** A new Date each time: whoever changes it changes his own. */
  get now(): Date {
    return new Date(this.#nowMs);
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  get live(): boolean {
    return this.#live;
  }

  isOn(connection: Connection): boolean {
    return this.#connection === connection;
  }

  end(): void {
    this.#live = false;
  }

  /** Number of rows changed. */
  run(sql: string, params: SqlParams = {}): number {
    return this.#prepared(sql).run(bindable(params)).changes;
  }

  /** Rows of so many columns, one after the other in `values`, many to a statement. `sql` ends with VALUES. */
  insertMany(sql: string, columns: number, values: readonly SqlValue[]): void {
    const row = `(${Array(columns).fill('?').join(', ')})`;
    for (let at = 0; at < values.length; at += columns * MANY_ROWS) {
      const part = values.slice(at, at + columns * MANY_ROWS);
      const rows = Array(part.length / columns)
        .fill(row)
        .join(', ');
      this.#prepared(`${sql} ${rows}`).run(part.map((value) => sqlValue('a value', value)));
    }
  }

  /** One statement for many rows, looked up once. */
  runEach(sql: string, rows: readonly SqlParams[]): void {
    const statement = this.#prepared(sql);
    for (const row of rows) statement.run(bindable(row));
  }

  /** `Row` is what the SELECT beside the call names; the STRICT schema holds its types. */
  get<Row>(sql: string, params: SqlParams = {}): Row | undefined {
    return this.#prepared(sql).get(bindable(params)) as Row | undefined;
  }

  all<Row>(sql: string, params: SqlParams = {}): Row[] {
    return this.#prepared(sql).all(bindable(params)) as Row[];
  }

  /** As `all`, row by row: who stops early does not pay for the rest. No other statement may run in between. */
  each<Row>(sql: string, params: SqlParams = {}): Iterable<Row> {
    return this.#prepared(sql).iterate(bindable(params)) as Iterable<Row>;
  }

  #prepared(sql: string) {
    if (!this.#live) throw new Error('this transaction has ended');
    // SQLite ends a transaction by itself after some disk failures; what followed would commit on its own.
    if (!this.#connection.db.inTransaction) throw new Error('the engine gave this transaction up');
    return this.#connection.prepared(sql);
  }
}

/** The transaction behind `tx`, if it belongs to the same connection as the store that was called. */
export function joined(tx: Tx, connection: Connection): SqliteTx {
  if (!(tx instanceof SqliteTx) || !tx.isOn(connection)) throw new Error('this transaction belongs to other stores');
  return tx;
}

export type Join = (tx: Tx) => SqliteTx;

function bindable(params: SqlParams): Record<string, SqlValue> {
  const bound: Record<string, SqlValue> = {}; // in a plain loop: it runs for every statement
  for (const name of Object.keys(params)) bound[name] = sqlValue(name, params[name]);
  return bound;
}

function sqlValue(name: string, value: SqlParams[string]): SqlValue {
  if (value === undefined) return null;
  if (value instanceof Date) return safeInteger(name, value.getTime());
  return typeof value === 'number' ? safeInteger(name, value) : value;
}

/** Every number and time stored here is a safe integer, so SQLite gives it back exactly. */
function safeInteger(name: string, value: number): number {
  if (!Number.isSafeInteger(value)) throw new RangeError(`${name} is not a safe integer`);
  return value;
}

/** A BLOB as plain bytes of its own. */
export function bytesOf(blob: Uint8Array): Uint8Array {
  return new Uint8Array(blob);
}

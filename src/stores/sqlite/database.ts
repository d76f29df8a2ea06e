/** The one file that opens SQLite. WAL + synchronous=FULL: a commit is fsynced before it is answered, and readers never wait for the writer. */
import { chmodSync, closeSync, existsSync, fsyncSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import type { Clock } from '../../domain/clock.ts';
import { VaultError } from '../../domain/errors.ts';
import { migrate, refuseOtherSchema } from './migrations.ts';

export interface DatabaseOptions {
  /** The file is made when it does not exist; its folder is not. */
  readonly file: string;
  readonly clock: Clock;
  /** Opens an existing, current database and never writes to it. */
  readonly readOnly?: boolean;
  /** Called once when its disk failed: whoever serves must end, and acknowledge nothing more. */
  readonly onDiskFailure?: (error: unknown) => void;
}

/** Milliseconds that opening waits for the lock of another process. A running transaction waits in unit-of-work.ts instead. */
const OPEN_BUSY_MS = 5_000;

/** One connection and the statements prepared on it, each once. */
export class Connection {
  readonly db: Database.Database;
  readonly readOnly: boolean;
  readonly #statements = new Map<string, Database.Statement>();

  constructor(db: Database.Database, readOnly: boolean) {
    this.db = db;
    this.readOnly = readOnly;
  }

  prepared(sql: string): Database.Statement {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.db.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  /** Empties the write-ahead log into the database. False while another connection is in its way. */
  truncateLog(): boolean {
    return this.db.pragma('wal_checkpoint(TRUNCATE)', { simple: true }) === 0;
  }

  close(): void {
    this.#statements.clear();
    this.db.close();
  }
}

/** Opens, migrates and sets up the file. A database that is newer, damaged or not ours is refused before anything in it changes. */
export function openDatabase(options: DatabaseOptions): Connection {
  const readOnly = options.readOnly ?? false;
  try {
    makeFile(options.file, readOnly);
    return connect(options, readOnly);
  } catch (error) {
    throw storeFailure(error);
  }
}

function connect(options: DatabaseOptions, readOnly: boolean): Connection {
  const db = new Database(options.file, { readonly: readOnly, fileMustExist: true, timeout: OPEN_BUSY_MS });
  try {
    refuseOtherSchema(db, readOnly);
    if (!readOnly) setUp(db, options);
    // From here a lock is waited for without blocking the event loop: a holder in this very process could otherwise never let go.
    db.pragma('busy_timeout = 0');
    return new Connection(db, readOnly);
  } catch (error) {
    db.close();
    throw error;
  }
}

function setUp(db: Database.Database, options: DatabaseOptions): void {
  chmodSync(options.file, 0o600); // SQLite gives -wal and -shm the mode of the file
  const mode = db.pragma('journal_mode = WAL', { simple: true });
  if (mode !== 'wal') throw new VaultError('store_unavailable', 'the file system of the database does not support write-ahead logging');
  db.pragma('synchronous = FULL');
  db.pragma('foreign_keys = ON');
  db.pragma('secure_delete = ON'); // what is erased is overwritten in its page, not only unlinked
  db.pragma('wal_checkpoint(TRUNCATE)'); // and what an earlier process erased leaves the write-ahead log; when others read, they or the next start do it
  db.pragma('trusted_schema = OFF');
  migrate(db, options.clock.now());
}

/** Makes an empty file with mode 0600 and its directory entry durable. A missing folder is a wrong setting or a missing mount, so it is not made. */
function makeFile(file: string, readOnly: boolean): void {
  const folder = dirname(file);
  if (!existsSync(folder) || !statSync(folder).isDirectory())
    throw new VaultError('configuration_invalid', 'the folder of the database does not exist');
  if (existsSync(file)) return;
  if (readOnly) throw new VaultError('store_unavailable', 'there is no database to read');
  closeSync(openSync(file, 'a', 0o600)); // not exclusive: another process may make it in the same moment
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

const UNAVAILABLE: readonly (readonly [prefix: string, detail: string])[] = [
  ['SQLITE_BUSY', 'another process holds the database too long'],
  ['SQLITE_LOCKED', 'the database is locked'],
  ['SQLITE_FULL', 'the disk of the database is full'],
  ['SQLITE_IOERR', 'the disk of the database fails'],
  ['SQLITE_CANTOPEN', 'the database cannot be opened'],
  ['SQLITE_READONLY', 'the database cannot be written'],
  ['SQLITE_PERM', 'the database may not be opened'],
  ['SQLITE_PROTOCOL', 'the database cannot be locked'],
  ['SQLITE_NOMEM', 'there is not enough memory'],
  ['SQLITE_CORRUPT', 'the database file is damaged'],
  ['SQLITE_NOTADB', 'the database file is damaged or not a SQLite database'],
  ['EACCES', 'the database may not be opened'],
  ['EPERM', 'the database may not be opened'],
  ['EROFS', 'the database cannot be written'],
  ['ENOSPC', 'the disk of the database is full'],
  ['EIO', 'the disk of the database fails'],
];

/** `store_unavailable` for what the engine or its disk cannot do now; anything else (a VaultError, a broken constraint, a bug) stays what it is. */
export function storeFailure(error: unknown): unknown {
  const code = engineCode(error);
  const known = UNAVAILABLE.find(([prefix]) => code.startsWith(prefix));
  return known === undefined ? error : new VaultError('store_unavailable', known[1], { cause: error });
}

export function isBusy(error: unknown): boolean {
  return engineCode(error).startsWith('SQLITE_BUSY');
}

/** I/O failures that are no matter of locks or memory: of these SQLite says SQLITE_IOERR too. A full disk is SQLITE_FULL, and may have room again. */
const NO_DISK_FAILURE = /^SQLITE_IOERR_(?:NOMEM|BLOCKED|LOCK|UNLOCK|RDLOCK|CHECKRESERVEDLOCK|SHMLOCK|VNODE|ROLLBACK_ATOMIC)/;

/** A read, write, truncate or fsync of the database or its log failed (EIO). */
export function isDiskFailure(error: unknown): boolean {
  const code = engineCode(error);
  return code.startsWith('SQLITE_IOERR') && !NO_DISK_FAILURE.test(code);
}

/** By `code`, not by class: the native module keeps one error class per process, and test runners load this file several times. */
function engineCode(error: unknown): string {
  if (typeof error !== 'object' || error === null || error instanceof VaultError) return '';
  return 'code' in error ? String(error.code) : '';
}

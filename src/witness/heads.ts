/**
 * What this witness has cosigned: of each log the largest checkpoint, and nothing else. One SQLite file, because it gives what the protocol asks
 * for: checked, set and durable in one step, also when two processes work on one folder by mistake. Beside it `newest` says how large they were, so
 * that an older file put in its place is seen. Nothing of either is believed unread: a witness that forgot would cosign a second history.
 */
import { existsSync } from 'node:fs';
import Database from 'better-sqlite3';
import type { LogCheckpoint } from '../audit/checkpoint.ts';
import { equalBytes } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { type Newest, newestIn, writeNewest } from './newest.ts';

export interface WitnessedHead {
  readonly size: number;
  /** The log's note with our cosignature under it. */
  readonly checkpoint: Uint8Array;
}

export interface Heads {
  /** Undefined when nothing of this log was ever cosigned. Throws `witness_memory_invalid` when what is kept is not what was cosigned. */
  head(origin: string): WitnessedHead | undefined;
  /**
   * Durable when it returns true. False, and no change, when the size that is kept is not `oldSize` (0: none is kept). Throws `store_unavailable` when
   * the disk is full or fails: then the head may have moved, and nobody is to be told.
   */
  replace(origin: string, oldSize: number, head: WitnessedHead): boolean;
  close(): void;
}

/** The checkpoint of a note that this witness cosigned; throws when it did not. */
export type OpenOwn = (checkpoint: Uint8Array) => LogCheckpoint;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS heads (
  origin     TEXT PRIMARY KEY,
  size       INTEGER NOT NULL,
  checkpoint BLOB NOT NULL
) STRICT`;

/** An empty memory, once in the life of a witness. */
export function makeHeads(file: string, newest: string): void {
  const db = opened(file, false);
  try {
    db.exec(SCHEMA);
  } finally {
    db.close();
  }
  writeNewest(newest, new Map());
}

/** Throws `witness_memory_invalid` when anything of it is missing, damaged, not what was cosigned, or older than what was: then it must not start. */
export function openHeads(file: string, newest: string, openOwn: OpenOwn): Heads {
  if (!existsSync(file)) throw invalid('heads.db is gone');
  let db: Database.Database | undefined;
  try {
    db = opened(file, true);
    return heads(db, newest, openOwn);
  } catch (error) {
    db?.close();
    throw failure(error);
  }
}

/**
 * No write-ahead log: of one with a flipped bit, and of a file that was copied without it, SQLite quietly gives the state before. EXTRA: the folder is
 * synced too when a transaction ends, else a power cut could bring its journal back and undo what was answered.
 */
function opened(file: string, fileMustExist: boolean): Database.Database {
  const db = new Database(file, { timeout: 5_000, fileMustExist });
  db.pragma('journal_mode = DELETE');
  db.pragma('synchronous = EXTRA');
  return db;
}

interface Stored extends WitnessedHead {
  readonly origin: string;
}

function heads(db: Database.Database, newest: string, openOwn: OpenOwn): Heads {
  if (db.pragma('integrity_check', { simple: true }) !== 'ok') throw invalid('heads.db is damaged');
  const every = db.prepare<[], Stored>('SELECT origin, size, checkpoint FROM heads ORDER BY origin');
  const read = db.prepare<[string], Stored>('SELECT origin, size, checkpoint FROM heads WHERE origin = ?');
  const insert = db.prepare('INSERT INTO heads (origin, size, checkpoint) VALUES (?, ?, ?) ON CONFLICT (origin) DO NOTHING');
  const update = db.prepare('UPDATE heads SET size = ?, checkpoint = ? WHERE origin = ? AND size = ?');
  const known = () => new Map(every.all().map((row) => [row.origin, { size: row.size, root: own(row, openOwn).root }]));
  const least = newestIn(newest); // before the heads are read: another process may move both
  assertNotOlder(known(), least);
  return {
    head(origin) {
      const row = orFailure(() => read.get(origin));
      if (row === undefined) return undefined;
      own(row, openOwn);
      return { size: row.size, checkpoint: new Uint8Array(row.checkpoint) };
    },
    replace(origin, oldSize, { size, checkpoint }) {
      return orFailure(() => {
        const inserted = oldSize === 0 && insert.run(origin, size, checkpoint).changes === 1;
        if (!inserted && update.run(size, checkpoint, origin, oldSize).changes === 0) return false;
        writeNewest(newest, known());
        return true;
      });
    },
    close: () => void db.close(),
  };
}

function assertNotOlder(known: ReadonlyMap<string, Newest>, least: ReadonlyMap<string, Newest>): void {
  for (const [origin, { size, root }] of least) {
    const kept = known.get(origin);
    if (kept === undefined || kept.size < size) throw invalid(`heads.db is older than what was cosigned of ${origin}`);
    if (kept.size === size && !equalBytes(kept.root, root)) throw invalid(`heads.db has another root of ${origin} than was cosigned`);
  }
}

function own({ origin, size, checkpoint }: Stored, openOwn: OpenOwn): LogCheckpoint {
  try {
    const said = openOwn(new Uint8Array(checkpoint));
    if (said.origin === origin && said.size === size) return said;
  } catch (cause) {
    throw invalid(`the head of ${origin} is not what was cosigned`, cause);
  }
  throw invalid(`the head of ${origin} stands in the place of another`);
}

/** The disk failed under the memory, which may not hold what it said it did: whoever serves it ends, and the next start looks. */
export function isDiskFailure(error: unknown): boolean {
  return error instanceof VaultError && /^(?:SQLITE_IOERR|EIO)/.test(engineCode(error.cause));
}

function orFailure<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw failure(error);
  }
}

function failure(cause: unknown): unknown {
  const why = engineCode(cause);
  if (/^SQLITE_(?:CORRUPT|NOTADB|ERROR)/.test(why)) return invalid('heads.db is damaged', cause);
  return /^(?:SQLITE_|E)/.test(why) ? new VaultError('store_unavailable', `the memory of the witness: ${why}`, { cause }) : cause;
}

/** By `code`, not by class: the native module keeps one error class per process. */
function engineCode(error: unknown): string {
  return typeof error === 'object' && error !== null && !(error instanceof VaultError) && 'code' in error ? String(error.code) : '';
}

function invalid(detail: string, cause?: unknown): VaultError {
  return new VaultError('witness_memory_invalid', detail, { cause });
}

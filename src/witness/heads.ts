/**
 * What this witness has cosigned: of each log the largest checkpoint, and nothing else. One SQLite file, because it gives what the protocol asks
 * for: checked, set and durable in one step, also when two processes work on one folder by mistake.
 */
import Database from 'better-sqlite3';

export interface WitnessedHead {
  readonly size: number;
  /** The log's note with our cosignature under it. */
  readonly checkpoint: Uint8Array;
}

export interface Heads {
  /** Undefined when nothing of this log was ever cosigned. */
  head(origin: string): WitnessedHead | undefined;
  /** Durable when it returns true. False, and no change, when the size that is kept is not `oldSize` (0: none is kept). */
  replace(origin: string, oldSize: number, head: WitnessedHead): boolean;
  close(): void;
}

const SCHEMA = `
CREATE TABLE IF NOT EXISTS heads (
  origin     TEXT PRIMARY KEY,
  size       INTEGER NOT NULL,
  checkpoint BLOB NOT NULL
) STRICT`;

/** Throws what SQLite throws: a witness that cannot remember must not start. */
export function openHeads(file: string): Heads {
  const db = new Database(file, { timeout: 5_000 });
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL'); // fsynced before anybody is answered
  db.exec(SCHEMA);
  const read = db.prepare('SELECT size, checkpoint FROM heads WHERE origin = ?');
  const insert = db.prepare('INSERT INTO heads (origin, size, checkpoint) VALUES (?, ?, ?) ON CONFLICT (origin) DO NOTHING');
  const update = db.prepare('UPDATE heads SET size = ?, checkpoint = ? WHERE origin = ? AND size = ?');
  return {
    head(origin) {
      const row = read.get(origin) as WitnessedHead | undefined; // as the STRICT table holds it
      return row && { size: row.size, checkpoint: new Uint8Array(row.checkpoint) };
    },
    replace(origin, oldSize, { size, checkpoint }) {
      if (oldSize === 0 && insert.run(origin, size, checkpoint).changes === 1) return true;
      return update.run(size, checkpoint, origin, oldSize).changes === 1;
    },
    close: () => void db.close(),
  };
}

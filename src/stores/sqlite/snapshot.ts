/** A consistent copy of the database at one moment, while others go on writing it. */
import { closeSync, fsyncSync, openSync } from 'node:fs';
import type { Clock } from '../../domain/clock.ts';
import { openDatabase, storeFailure } from './database.ts';

/** Writes the copy into `to`, which must not exist; durable when this returns. Throws as `openSqliteStores` does. */
export function snapshotSqlite(file: string, to: string, clock: Clock): void {
  const connection = openDatabase({ file, clock, readOnly: true });
  try {
    connection.db.prepare('VACUUM INTO ?').run(to);
    const handle = openSync(to, 'r');
    fsyncSync(handle);
    closeSync(handle);
  } catch (error) {
    throw storeFailure(error);
  } finally {
    connection.close();
  }
}

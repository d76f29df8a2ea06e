/** Schema versions go forward only: number n of the list takes a database from n-1 to n, in one transaction, and is never edited once released. */
import type Database from 'better-sqlite3';
import { VaultError } from '../../domain/errors.ts';
import { SCHEMA_ALERTS } from './alerts.ts';
import { SCHEMA_ATTESTATION } from './attestation.ts';
import { SCHEMA_CURSORS } from './cursors.ts';
import { SCHEMA_EGRESS } from './egress.ts';
import { SCHEMA_SUMMARY, SCHEMA_WITNESSED } from './log.ts';
import { SCHEMA_WIDEST_TILES } from './log-tiles.ts';
import { SCHEMA_1 } from './schema.ts';
import { SCHEMA_KEY_MAKING, SCHEMA_KEYS } from './schema-keys.ts';
import { SCHEMA_ERASURE, SCHEMA_PRUNING } from './schema-retention.ts';
import { SCHEMA_SEARCH } from './search.ts';

export const MIGRATIONS: readonly string[] = [
  SCHEMA_1,
  SCHEMA_KEYS,
  SCHEMA_ATTESTATION,
  SCHEMA_CURSORS,
  SCHEMA_SEARCH,
  SCHEMA_WITNESSED,
  SCHEMA_ERASURE,
  SCHEMA_ALERTS,
  SCHEMA_EGRESS,
  SCHEMA_PRUNING,
  SCHEMA_WIDEST_TILES,
  SCHEMA_SUMMARY,
  SCHEMA_KEY_MAKING,
];

/** 0 for an empty file. */
export function schemaVersion(db: Database.Database): number {
  const named = (name: string) => db.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?").get(name) !== undefined;
  if (!named('schema_version')) {
    const tables = db.prepare('SELECT count(*) FROM sqlite_master').pluck().get();
    if (tables === 0) return 0;
    throw new VaultError('configuration_invalid', 'the database file belongs to another program');
  }
  return Number(db.prepare('SELECT coalesce(max(version), 0) FROM schema_version').pluck().get());
}

/** Only reads. Throws `store_schema_newer` for a later product's database; one that may not be written must be current. */
export function refuseOtherSchema(db: Database.Database, readOnly: boolean, migrations = MIGRATIONS): void {
  const found = schemaVersion(db);
  refuseNewer(found, migrations);
  if (readOnly && found < migrations.length) {
    throw new VaultError('store_unavailable', `the database has schema ${found} and needs ${migrations.length}: start the server once`);
  }
}

/** Brings the database to the last migration. Several processes may do this at once; each step is looked at again under the write lock. */
export function migrate(db: Database.Database, now: Date, migrations = MIGRATIONS): void {
  for (let version = schemaVersion(db) + 1; version <= migrations.length; version++) {
    db.transaction(() => step(db, version, now, migrations)).immediate();
  }
  refuseNewer(schemaVersion(db), migrations);
}

function step(db: Database.Database, version: number, now: Date, migrations: readonly string[]): void {
  if (schemaVersion(db) >= version) return; // another process was quicker
  if (version === 1) db.exec('CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT');
  db.exec(migrations[version - 1] ?? '');
  db.prepare('INSERT INTO schema_version (version, applied_at) VALUES (?, ?)').run(version, now.getTime());
}

function refuseNewer(found: number, migrations: readonly string[]): void {
  if (found > migrations.length) {
    throw new VaultError('store_schema_newer', `the database has schema ${found}, this product knows ${migrations.length}`);
  }
}

/** All relational stores on one SQLite file. Several instances, in this process or others, may have the same file open. */
import type { Stores } from '../port.ts';
import { sqliteAlerts } from './alerts.ts';
import { sqliteApprovals } from './approvals.ts';
import { sqliteAttestation } from './attestation.ts';
import { sqliteCatalog } from './catalog.ts';
import { sqliteCursors } from './cursors.ts';
import { type DatabaseOptions, openDatabase } from './database.ts';
import { sqliteDocuments } from './documents.ts';
import { sqliteIdentity } from './identity.ts';
import { sqliteLog } from './log.ts';
import { sqliteReleases } from './releases.ts';
import { sqliteSearch } from './search.ts';
import { type Join, joined } from './transaction.ts';
import { SqliteUnitOfWork } from './unit-of-work.ts';

/**
 * Opens or makes the file and migrates it. Rejects `configuration_invalid` (no such folder, another program's file),
 * `store_schema_newer`, or `store_unavailable` (damaged, locked, not permitted).
 */
export async function openSqliteStores(options: DatabaseOptions): Promise<Stores> {
  const connection = openDatabase(options);
  const unitOfWork = new SqliteUnitOfWork(connection, options.clock, {}, options.onDiskFailure);
  const join: Join = (tx) => joined(tx, connection);
  return {
    unitOfWork,
    catalog: sqliteCatalog(join),
    documents: sqliteDocuments(join),
    identity: sqliteIdentity(join),
    approvals: sqliteApprovals(join),
    releases: sqliteReleases(join),
    attestation: sqliteAttestation(join),
    log: sqliteLog(join),
    cursors: sqliteCursors(join),
    alerts: sqliteAlerts(join),
    search: sqliteSearch(join),
    purgeDeleted: () => unitOfWork.purgeDeleted(),
    giveUp: (error) => unitOfWork.giveUp(error),
    close: () => unitOfWork.close(),
  };
}

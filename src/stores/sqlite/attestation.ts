import type { AttestationStore, CollateralRow, CollateralSummary } from '../../attestation/kept/port.ts';
import { bytesOf, type Join } from './transaction.ts';

/** What migrations.ts adds for this store. */
export const SCHEMA_ATTESTATION = `
CREATE TABLE attestation_results (
  digest TEXT PRIMARY KEY,
  bytes  BLOB NOT NULL
) STRICT;

CREATE TABLE reference_value_matches (
  namespace  TEXT NOT NULL,
  value_id   TEXT NOT NULL,
  matched_at INTEGER NOT NULL,
  PRIMARY KEY (namespace, value_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE collateral (
  type        TEXT NOT NULL,
  key         TEXT NOT NULL,
  digest      TEXT NOT NULL,
  bytes       BLOB NOT NULL,
  issued_at   INTEGER NOT NULL,
  expires_at  INTEGER,
  imported_at INTEGER NOT NULL,
  PRIMARY KEY (type, key, digest)
) STRICT;
CREATE INDEX collateral_newest ON collateral (type, key, issued_at DESC, imported_at DESC, digest);
`;

/** One write an hour and value: when it last matched is asked in days. */
const MATCH_GRAIN_MS = 3_600_000;

export function sqliteAttestation(join: Join): AttestationStore {
  return {
    async putResult(tx, digest, bytes) {
      join(tx).run('INSERT INTO attestation_results (digest, bytes) VALUES (:digest, :bytes) ON CONFLICT (digest) DO NOTHING', {
        digest,
        bytes,
      });
    },
    async result(tx, digest) {
      const row = join(tx).get<{ bytes: Uint8Array }>('SELECT bytes FROM attestation_results WHERE digest = :digest', { digest });
      return row && bytesOf(row.bytes);
    },
    async noteMatched(tx, namespace, ids) {
      for (const valueId of ids) join(tx).run(NOTE_MATCH, { namespace, valueId, now: tx.now, grain: MATCH_GRAIN_MS });
    },
    async lastMatched(tx, namespace) {
      const sql = 'SELECT value_id AS id, matched_at AS at FROM reference_value_matches WHERE namespace = :namespace';
      return new Map(
        join(tx)
          .all<{ id: string; at: number }>(sql, { namespace })
          .map(({ id, at }) => [id, new Date(at)]),
      );
    },
    async putCollateral(tx, row) {
      return join(tx).run(PUT_COLLATERAL, { ...row, expiresAt: row.expiresAt ?? null }) === 1;
    },
    async newestCollateral(tx, type, key) {
      const row = join(tx).get<Row & { bytes: Uint8Array }>(NEWEST, { type, key });
      return row && { ...dated(row), bytes: bytesOf(row.bytes) };
    },
    async listCollateral(tx) {
      return join(tx).all<Row>(LIST).map(dated);
    },
  };
}

type Row = Pick<CollateralRow, 'type' | 'key' | 'digest'> & { issuedAt: number; expiresAt: number | null; importedAt: number };

function dated({ issuedAt, expiresAt, importedAt, ...row }: Row): CollateralSummary {
  return {
    ...row,
    issuedAt: new Date(issuedAt),
    ...(expiresAt !== null && { expiresAt: new Date(expiresAt) }),
    importedAt: new Date(importedAt),
  };
}

const NOTE_MATCH = `
  INSERT INTO reference_value_matches (namespace, value_id, matched_at) VALUES (:namespace, :valueId, :now)
  ON CONFLICT (namespace, value_id) DO UPDATE SET matched_at = excluded.matched_at WHERE matched_at + :grain <= excluded.matched_at`;

const PUT_COLLATERAL = `
  INSERT INTO collateral (type, key, digest, bytes, issued_at, expires_at, imported_at)
  VALUES (:type, :key, :digest, :bytes, :issuedAt, :expiresAt, :importedAt)
  ON CONFLICT (type, key, digest) DO NOTHING`;

const COLUMNS = 'type, key, digest, issued_at AS issuedAt, expires_at AS expiresAt, imported_at AS importedAt';
const ORDER = 'issued_at DESC, imported_at DESC, digest';

const NEWEST = `SELECT ${COLUMNS}, bytes FROM collateral WHERE type = :type AND key = :key ORDER BY ${ORDER} LIMIT 1`;

const LIST = `
  SELECT ${COLUMNS} FROM (SELECT *, row_number() OVER (PARTITION BY type, key ORDER BY ${ORDER}) AS place FROM collateral)
  WHERE place = 1 ORDER BY type, key`;

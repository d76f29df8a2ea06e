import type { EgressSum, ReleaseStore } from '../../releases/port.ts';
import { releaseRow, SELECT_RELEASE, type StoredRelease } from './release-row.ts';
import type { Join } from './transaction.ts';

/** What migrations.ts adds for budgets. */
export const SCHEMA_EGRESS = `
CREATE TABLE release_egress (
  release_id     TEXT PRIMARY KEY,
  namespace      TEXT NOT NULL,
  subject_id     TEXT NOT NULL,
  model_id       TEXT NOT NULL,
  machine        TEXT NOT NULL,
  version_bytes  INTEGER NOT NULL,
  reserved_bytes INTEGER,
  claimed_bytes  INTEGER NOT NULL DEFAULT 0,
  sent_bytes     INTEGER,
  ended_at       INTEGER,
  told_ranges    INTEGER NOT NULL DEFAULT 0,
  told_overdue   INTEGER NOT NULL DEFAULT 0
) STRICT;
ALTER TABLE release_progress ADD COLUMN small_ranges INTEGER NOT NULL DEFAULT 0;
CREATE TABLE first_seen (
  who     TEXT NOT NULL,
  kind    TEXT NOT NULL,
  digest  TEXT NOT NULL,
  seen_at INTEGER NOT NULL,
  PRIMARY KEY (who, kind, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX release_egress_of ON release_egress (subject_id, model_id, ended_at);
CREATE INDEX release_egress_ended ON release_egress (ended_at);
`;

type Part = Pick<
  ReleaseStore,
  | 'insertEgress'
  | 'egress'
  | 'claimEgress'
  | 'returnEgress'
  | 'settleEgress'
  | 'purgeEgress'
  | 'noteSeen'
  | 'seenElse'
  | 'takeSmallRanges'
  | 'takeOverdue'
>;

type StoredSum = Omit<EgressSum, 'machineCounted'> & { readonly counted: number };

export function sqliteEgress(join: Join): Part {
  return {
    async insertEgress(tx, row) {
      join(tx).run(INSERT, { reservedBytes: undefined, ...row });
    },
    async egress(tx, of, since, except) {
      const none = { bytes: 0, replicas: 0, machines: 0, counted: 0 };
      const { counted, ...sum } = join(tx).get<StoredSum>(SUM, { ...of, since, except: except ?? '' }) ?? none; // an aggregate always has a row
      return { ...sum, machineCounted: counted === 1 };
    },
    async claimEgress(tx, releaseId, bytes) {
      const sql = 'SELECT reserved_bytes - claimed_bytes AS left FROM release_egress WHERE release_id = :releaseId';
      const row = join(tx).get<{ left: number | null }>(sql, { releaseId });
      if (row === undefined) return 0;
      if (row.left === null) return undefined;
      const claimed = Math.max(0, Math.min(bytes, row.left));
      join(tx).run(CLAIM, { releaseId, bytes: claimed });
      return claimed;
    },
    async returnEgress(tx, releaseId, bytes) {
      join(tx).run(CLAIM, { releaseId, bytes: -bytes });
    },
    async settleEgress(tx, releaseId, bytes) {
      join(tx).run(SETTLE, { releaseId, bytes, now: tx.now });
      return join(tx).get<{ versionBytes: number; smallRanges: number }>(SETTLED, { releaseId });
    },
    async purgeEgress(tx, before) {
      join(tx).run('DELETE FROM release_egress WHERE ended_at < :before', { before });
    },
    async noteSeen(tx, who, kind, digest) {
      const first = join(tx).run(FIRST, { who, kind, digest, now: tx.now }) === 1;
      if (!first) join(tx).run(AGAIN, { who, kind, digest, now: tx.now });
      return first;
    },
    async seenElse(tx, who, kind, digest, since) {
      const sql = 'SELECT 1 FROM first_seen WHERE who = :who AND kind = :kind AND digest <> :digest AND seen_at > :since LIMIT 1';
      return join(tx).get(sql, { who, kind, digest, since }) !== undefined;
    },
    async takeSmallRanges(tx, least) {
      const found = join(tx).all<StoredRelease & { smallRanges: number }>(SMALL_RANGES, { least });
      for (const { releaseId, smallRanges: more } of found) join(tx).run(TELL_RANGES, { releaseId, more });
      return found.map(({ smallRanges, ...row }) => ({ release: releaseRow(row), smallRanges }));
    },
    async takeOverdue(tx, before) {
      const found = join(tx).all<StoredRelease>(OVERDUE, { before });
      for (const { releaseId } of found)
        join(tx).run('UPDATE release_egress SET told_overdue = 1 WHERE release_id = :releaseId', { releaseId });
      return found.map(releaseRow);
    },
  };
}

const INSERT = `
  INSERT INTO release_egress (release_id, namespace, subject_id, model_id, machine, version_bytes, reserved_bytes)
  VALUES (:releaseId, :namespace, :subjectId, :modelId, :machine, :versionBytes, :reservedBytes)`;
const CLAIM = 'UPDATE release_egress SET claimed_bytes = max(0, claimed_bytes + :bytes) WHERE release_id = :releaseId';
/** What was claimed and never given back, because its process died, counts as sent: nobody knows that it was not. */
const SETTLE = `
  UPDATE release_egress SET sent_bytes = max(:bytes, claimed_bytes), ended_at = :now WHERE release_id = :releaseId AND ended_at IS NULL`;

/** Of an open release that is held to nothing what it sent may be more than its version: that counts then. */
const SUM = `
  WITH of AS (
    SELECT machine, version_bytes, ended_at, sent_bytes,
           max(coalesce(reserved_bytes, version_bytes),
               (SELECT coalesce(sum(bytes), 0) FROM release_progress AS p WHERE p.release_id = e.release_id)) AS open_bytes
    FROM release_egress AS e
    WHERE namespace = :namespace AND subject_id = :subjectId AND model_id = :modelId AND release_id <> :except
      AND (ended_at IS NULL OR ended_at > :since))
  SELECT coalesce(sum(CASE WHEN ended_at IS NULL THEN open_bytes ELSE sent_bytes END), 0) AS bytes,
         coalesce(sum(ended_at IS NULL OR sent_bytes >= version_bytes), 0) AS replicas,
         count(DISTINCT machine) AS machines,
         coalesce(max(machine = :machine), 0) AS counted
  FROM of`;

const RANGES = 'coalesce((SELECT sum(small_ranges) FROM release_progress AS p WHERE p.release_id = e.release_id), 0) - e.told_ranges';
const SETTLED = `SELECT version_bytes AS versionBytes, ${RANGES} AS smallRanges FROM release_egress AS e WHERE release_id = :releaseId`;
const SMALL_RANGES = `
  SELECT releases.*, found.small AS smallRanges
  FROM (SELECT release_id, ${RANGES} AS small FROM release_egress AS e WHERE ended_at IS NULL) AS found
  JOIN (${SELECT_RELEASE} WHERE outcome IS NULL) AS releases ON releases.releaseId = found.release_id
  WHERE found.small >= :least`;
const OVERDUE = `
  SELECT releases.* FROM (${SELECT_RELEASE} WHERE outcome IS NULL AND expires_at < :before) AS releases
  JOIN release_egress AS e ON e.release_id = releases.releaseId WHERE e.told_overdue = 0`;
const TELL_RANGES = 'UPDATE release_egress SET told_ranges = told_ranges + :more WHERE release_id = :releaseId';
const FIRST = 'INSERT INTO first_seen (who, kind, digest, seen_at) VALUES (:who, :kind, :digest, :now) ON CONFLICT DO NOTHING';
const AGAIN = 'UPDATE first_seen SET seen_at = :now WHERE who = :who AND kind = :kind AND digest = :digest';

import type { Disclosure, KeptSummary, LeafRow, LogStore, PublishedHead } from '../../audit/port.ts';
import type { LeafIndex, TreeSize } from '../../domain/ids.ts';
import { sqlitePruning } from './log-pruning.ts';
import { findTile, putTiles } from './log-tiles.ts';
import { bytesOf, type Join, type SqliteTx } from './transaction.ts';

export function sqliteLog(join: Join): LogStore {
  return { ...outbox(join), ...sequencing(join), ...published(join), ...sqlitePruning(join) };
}

type Part<K extends keyof LogStore> = Pick<LogStore, K>;

/** `log_leaves` is the outbox as well: a leaf without an index waits there, in order of `position`. */
function outbox(join: Join): Part<'append' | 'leafByRecord' | 'disclosures' | 'eraseDisclosuresOf'> {
  return {
    async append(tx, recordId, leaf, disclosures) {
      const joinedTx = join(tx);
      joinedTx.run('INSERT INTO log_leaves (record_id, leaf) VALUES (:recordId, :leaf)', { recordId, leaf });
      for (const disclosure of disclosures) {
        const sql = 'INSERT INTO log_disclosures (record_id, field, salt, value) VALUES (:recordId, :field, :salt, :value)';
        joinedTx.run(sql, { ...disclosure, recordId });
      }
    },
    async leafByRecord(tx, recordId) {
      const sql = 'SELECT leaf, leaf_index AS "index" FROM log_leaves WHERE record_id = :recordId';
      const row = join(tx).get<{ leaf: Uint8Array; index: LeafIndex | null }>(sql, { recordId });
      return row && { leaf: bytesOf(row.leaf), ...(row.index === null ? {} : { index: row.index }) };
    },
    async disclosures(tx, recordId) {
      const sql = 'SELECT record_id AS recordId, field, salt, value FROM log_disclosures WHERE record_id = :recordId ORDER BY field';
      return join(tx)
        .all<Disclosure>(sql, { recordId })
        .map((row) => ({ ...row, salt: bytesOf(row.salt) }));
    },
    async eraseDisclosuresOf(tx, administratorName) {
      const joinedTx = join(tx);
      const records = joinedTx.get<{ count: number }>(`SELECT count(*) AS count FROM (${NAMED})`, { administratorName })?.count ?? 0;
      const disclosures = joinedTx.run(`DELETE FROM log_disclosures WHERE record_id IN (${NAMED})`, { administratorName });
      return { records, disclosures };
    },
  };
}

const NAMED = "SELECT record_id FROM log_disclosures WHERE field = 'administratorName' AND value = :administratorName";

function sequencing(join: Join): Part<'acquireSequencer' | 'assign' | 'assignedSize' | 'newestLeaf' | 'leaves'> {
  return {
    async acquireSequencer(tx, holder, until) {
      const taken = join(tx).run(
        `INSERT INTO log_sequencer (one, holder, lease_until) VALUES (1, :holder, :until)
         ON CONFLICT (one) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until
         WHERE holder = excluded.holder OR lease_until <= :now`,
        { holder, until, now: tx.now },
      );
      return taken === 1;
    },
    async assign(tx, limit) {
      return join(tx).run(ASSIGN, { first: assignedSize(join(tx)), limit });
    },
    async assignedSize(tx) {
      return assignedSize(join(tx));
    },
    async newestLeaf(tx) {
      const newest = join(tx).get<{ leaf: Uint8Array }>('SELECT leaf FROM log_leaves ORDER BY position DESC LIMIT 1', {});
      return newest && bytesOf(newest.leaf);
    },
    async leaves(tx, start, end) {
      return join(tx)
        .all<LeafRow>(LEAVES, { start, end })
        .map((row) => ({ ...row, leaf: bytesOf(row.leaf) }));
    },
  };
}

const ASSIGN = `
  UPDATE log_leaves SET leaf_index = next.leaf_index
  FROM (
    SELECT position, :first + row_number() OVER (ORDER BY position) - 1 AS leaf_index
    FROM (SELECT position FROM log_leaves WHERE leaf_index IS NULL ORDER BY position LIMIT :limit)
  ) AS next
  WHERE log_leaves.position = next.position`;

const LEAVES = `
  SELECT leaf_index AS "index", record_id AS recordId, leaf FROM log_leaves
  WHERE leaf_index >= :start AND leaf_index < :end ORDER BY leaf_index`;

/** Indexes have no gap, so the last one tells how many there are. */
function assignedSize(tx: SqliteTx): TreeSize {
  const row = tx.get<{ size: TreeSize }>('SELECT coalesce(max(leaf_index) + 1, 0) AS size FROM log_leaves');
  return row?.size ?? (0 as TreeSize); // an aggregate always has a row
}

function published(
  join: Join,
): Part<'publish' | 'resignHead' | 'head' | 'tile' | 'witnessed' | 'publishWitnessed' | 'summary' | 'putSummary'> {
  return {
    async publish(tx, previous, head, tiles) {
      const joinedTx = join(tx);
      if (head.size <= previous) return false;
      const sql = previous === 0 ? FIRST_HEAD : NEXT_HEAD;
      if (joinedTx.run(sql, { ...head, previous }) === 0) return false;
      putTiles(joinedTx, tiles);
      return true;
    },
    async resignHead(tx, { size, checkpoint }) {
      const done = join(tx).run('UPDATE log_head SET checkpoint = :checkpoint WHERE one = 1 AND size = :size', { size, checkpoint }) === 1;
      if (done) join(tx).run('DELETE FROM log_witnessed');
      return done;
    },
    async witnessed(tx) {
      const row = join(tx).get<PublishedHead>('SELECT size, checkpoint FROM log_witnessed');
      return row && { ...row, checkpoint: bytesOf(row.checkpoint) };
    },
    async publishWitnessed(tx, head) {
      return join(tx).run(PUT_WITNESSED, { ...head }) === 1;
    },
    async head(tx) {
      const row = join(tx).get<PublishedHead>('SELECT size, checkpoint FROM log_head');
      return row && { ...row, checkpoint: bytesOf(row.checkpoint) };
    },
    async summary(tx) {
      const row = join(tx).get<KeptSummary>('SELECT bytes, signature FROM log_summary');
      return row && { bytes: bytesOf(row.bytes), signature: bytesOf(row.signature) };
    },
    async putSummary(tx, { bytes, signature }) {
      join(tx).run('INSERT OR REPLACE INTO log_summary (one, bytes, signature) VALUES (1, :bytes, :signature)', { bytes, signature });
    },
    async tile(tx, path) {
      return findTile(join(tx), path);
    },
  };
}

const FIRST_HEAD = 'INSERT INTO log_head (one, size, checkpoint) VALUES (1, :size, :checkpoint) ON CONFLICT (one) DO NOTHING';
const NEXT_HEAD = 'UPDATE log_head SET size = :size, checkpoint = :checkpoint WHERE size = :previous';
const PUT_WITNESSED = `
  INSERT INTO log_witnessed (one, size, checkpoint) SELECT 1, :size, :checkpoint FROM log_head WHERE size >= :size
  ON CONFLICT (one) DO UPDATE SET size = excluded.size, checkpoint = excluded.checkpoint WHERE log_witnessed.size <= excluded.size`;

/** The newest checkpoint that a quorum of witnesses cosigned. */
export const SCHEMA_WITNESSED = `
CREATE TABLE log_witnessed (
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  size       INTEGER NOT NULL,
  checkpoint BLOB NOT NULL
) STRICT;
`;

/** What the first records say, signed. */
export const SCHEMA_SUMMARY = `
CREATE TABLE log_summary (
  one       INTEGER PRIMARY KEY CHECK (one = 1),
  bytes     BLOB NOT NULL,
  signature BLOB NOT NULL
) STRICT;
`;

import type { ReleaseOutcome } from '../../domain/access.ts';
import type { Block, ChallengeRow, ProgressRow, ReleaseRow, ReleaseStore } from '../../releases/port.ts';
import { bytesOf, type Join } from './transaction.ts';

export function sqliteReleases(join: Join): ReleaseStore {
  return { ...challenges(join), ...releases(join), ...progress(join), ...blocksAndNodes(join) };
}

type Part<K extends keyof ReleaseStore> = Pick<ReleaseStore, K>;

type StoredChallenge = Omit<ChallengeRow, 'expiresAt'> & { readonly expiresAt: number };

function challenges(join: Join): Part<'insertChallenge' | 'spendChallenge' | 'purgeChallenges'> {
  return {
    async insertChallenge(tx, challenge) {
      join(tx).run(
        'INSERT INTO challenges (challenge_id, nonce, spki_digest, expires_at) VALUES (:challengeId, :nonce, :spkiDigest, :expiresAt)',
        { ...challenge },
      );
    },
    async spendChallenge(tx, challengeId, spkiDigest) {
      const mine = { challengeId, spkiDigest, now: tx.now };
      const spent = join(tx).get<StoredChallenge>(SPEND, mine);
      if (spent) return { ...spent, nonce: bytesOf(spent.nonce), expiresAt: new Date(spent.expiresAt) };
      const found = join(tx).get<{ spentAt: number | null }>(
        'SELECT spent_at AS spentAt FROM challenges WHERE challenge_id = :challengeId AND spki_digest = :spkiDigest',
        mine,
      );
      if (found === undefined) return 'challenge_unknown';
      return found.spentAt === null ? 'challenge_expired' : 'challenge_spent';
    },
    async purgeChallenges(tx, before) {
      join(tx).run('DELETE FROM challenges WHERE expires_at < :before', { before });
    },
  };
}

const SPEND = `
  UPDATE challenges SET spent_at = :now
  WHERE challenge_id = :challengeId AND spki_digest = :spkiDigest AND spent_at IS NULL AND expires_at >= :now
  RETURNING challenge_id AS challengeId, nonce, spki_digest AS spkiDigest, expires_at AS expiresAt`;

function releases(join: Join): Part<'insertRelease' | 'release' | 'endRelease' | 'endable'> {
  return {
    async insertRelease(tx, release) {
      join(tx).run(INSERT_RELEASE, { outcome: undefined, ...release });
    },
    async release(tx, namespace, releaseId) {
      const sql = `${SELECT_RELEASE} WHERE namespace = :namespace AND release_id = :releaseId`;
      const row = join(tx).get<StoredRelease>(sql, { namespace, releaseId });
      return row && releaseRow(row);
    },
    async endRelease(tx, releaseId, outcome) {
      const sql = 'UPDATE releases SET outcome = :outcome WHERE release_id = :releaseId AND outcome IS NULL';
      return join(tx).run(sql, { releaseId, outcome }) === 1;
    },
    async endable(tx, limit) {
      return join(tx).all<StoredRelease>(ENDABLE, { limit, now: tx.now }).map(releaseRow);
    },
  };
}

const INSERT_RELEASE = `
  INSERT INTO releases (release_id, namespace, subject_id, model_id, version_id, version_digest, spki_digest, record_id,
                        document_digest, created_at, expires_at, outcome)
  VALUES (:releaseId, :namespace, :subjectId, :modelId, :versionId, :versionDigest, :spkiDigest, :recordId,
          :documentDigest, :createdAt, :expiresAt, :outcome)`;

const SELECT_RELEASE = `
  SELECT release_id AS releaseId, namespace, subject_id AS subjectId, model_id AS modelId, version_id AS versionId,
         version_digest AS versionDigest, spki_digest AS spkiDigest, record_id AS recordId,
         document_digest AS documentDigest, created_at AS createdAt, expires_at AS expiresAt, outcome
  FROM releases`;

const ENDABLE = `
  ${SELECT_RELEASE}
  WHERE outcome IS NULL AND (expires_at <= :now OR (namespace, subject_id) IN (SELECT namespace, subject_id FROM blocks))
  ORDER BY created_at, release_id LIMIT :limit`;

type StoredRelease = Omit<ReleaseRow, 'createdAt' | 'expiresAt' | 'outcome'> & {
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly outcome: ReleaseOutcome | null;
};

function releaseRow({ outcome, ...row }: StoredRelease): ReleaseRow {
  return { ...row, createdAt: new Date(row.createdAt), expiresAt: new Date(row.expiresAt), ...(outcome === null ? {} : { outcome }) };
}

function progress(join: Join): Part<'recordProgress' | 'progress'> {
  return {
    async recordProgress(tx, releaseId, figures) {
      join(tx).run(
        `INSERT INTO release_progress (release_id, node, bytes, completed_objects, aborted_streams, active_streams)
         VALUES (:releaseId, :node, :bytes, :completedObjects, :abortedStreams, :activeStreams)
         ON CONFLICT (release_id, node) DO UPDATE SET bytes = excluded.bytes, completed_objects = excluded.completed_objects,
           aborted_streams = excluded.aborted_streams, active_streams = excluded.active_streams`,
        { releaseId, ...figures },
      );
    },
    async progress(tx, releaseId) {
      return join(tx).all<ProgressRow>(
        `SELECT node, bytes, completed_objects AS completedObjects, aborted_streams AS abortedStreams, active_streams AS activeStreams
         FROM release_progress WHERE release_id = :releaseId ORDER BY node`,
        { releaseId },
      );
    },
  };
}

function blocksAndNodes(join: Join): Part<'block' | 'blocks' | 'renewNode' | 'nodeLives'> {
  return {
    async block(tx, block) {
      const sql = 'INSERT INTO blocks (namespace, subject_id) VALUES (:namespace, :subjectId) ON CONFLICT DO NOTHING';
      return join(tx).run(sql, { ...block }) === 1;
    },
    async blocks(tx) {
      return join(tx).all<Block>('SELECT namespace, subject_id AS subjectId FROM blocks ORDER BY namespace, subject_id');
    },
    async renewNode(tx, node, leaseUntil) {
      join(tx).run(
        `INSERT INTO nodes (node, lease_until) VALUES (:node, :leaseUntil)
         ON CONFLICT (node) DO UPDATE SET lease_until = excluded.lease_until`,
        { node, leaseUntil },
      );
    },
    async nodeLives(tx, node) {
      return join(tx).get('SELECT 1 FROM nodes WHERE node = :node AND lease_until > :now', { node, now: tx.now }) !== undefined;
    },
  };
}

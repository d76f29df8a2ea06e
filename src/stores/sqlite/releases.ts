import { lp, sha256Hex } from '../../domain/bytes.ts';
import type { ChallengeRow, ProgressRow, ReleaseRow, ReleaseStore, StopRow } from '../../releases/port.ts';
import { sqliteEgress } from './egress.ts';
import { releaseRow, SELECT_RELEASE, type StoredRelease } from './release-row.ts';
import { bytesOf, type Join } from './transaction.ts';

export function sqliteReleases(join: Join): ReleaseStore {
  return {
    ...sqliteEgress(join),
    ...challenges(join),
    ...tokenIds(join),
    ...releases(join),
    ...progress(join),
    ...stops(join),
    ...nodes(join),
  };
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

function tokenIds(join: Join): Part<'spendTokenId' | 'purgeTokenIds'> {
  return {
    async spendTokenId(tx, issuer, tokenId, expiresAt) {
      const tokenDigest = sha256Hex(lp(issuer, tokenId));
      const sql = 'INSERT INTO spent_tokens (token_digest, expires_at) VALUES (:tokenDigest, :expiresAt) ON CONFLICT DO NOTHING';
      return join(tx).run(sql, { tokenDigest, expiresAt }) === 1;
    },
    async purgeTokenIds(tx, before) {
      join(tx).run('DELETE FROM spent_tokens WHERE expires_at < :before', { before });
    },
  };
}

function releases(join: Join): Part<'insertRelease' | 'release' | 'renewRelease' | 'endRelease' | 'endable' | 'openVersions'> {
  return {
    async insertRelease(tx, release) {
      join(tx).run(INSERT_RELEASE, { outcome: undefined, ...release });
    },
    async release(tx, namespace, releaseId) {
      const sql = `${SELECT_RELEASE} WHERE namespace = :namespace AND release_id = :releaseId`;
      const row = join(tx).get<StoredRelease>(sql, { namespace, releaseId });
      return row && releaseRow(row);
    },
    async renewRelease(tx, releaseId, from, { documentDigest, expiresAt }) {
      return join(tx).run(RENEW_RELEASE, { releaseId, from, documentDigest, expiresAt }) === 1;
    },
    async endRelease(tx, releaseId, outcome) {
      const sql = 'UPDATE releases SET outcome = :outcome WHERE release_id = :releaseId AND outcome IS NULL';
      return join(tx).run(sql, { releaseId, outcome }) === 1;
    },
    async endable(tx, stops, limit) {
      const stopped = JSON.stringify(
        stops.map(({ stopId, scope, namespace, target, lifted }) => ({ stopId, scope, namespace, target, lifted })),
      );
      return join(tx).all<StoredRelease>(ENDABLE, { stopped, limit, now: tx.now }).map(releaseRow);
    },
    async openVersions(tx) {
      return join(tx).all<Pick<ReleaseRow, 'namespace' | 'versionId'>>(OPEN_VERSIONS);
    },
  };
}

const INSERT_RELEASE = `
  INSERT INTO releases (release_id, namespace, subject_id, model_id, version_id, version_digest, spki_digest, record_id,
                        document_digest, created_at, expires_at, outcome)
  VALUES (:releaseId, :namespace, :subjectId, :modelId, :versionId, :versionDigest, :spkiDigest, :recordId,
          :documentDigest, :createdAt, :expiresAt, :outcome)`;

const RENEW_RELEASE = `
  UPDATE releases SET document_digest = :documentDigest, expires_at = :expiresAt
  WHERE release_id = :releaseId AND document_digest = :from AND outcome IS NULL`;

/** Covered as domain/stop.ts says. The first 13 characters of a UUIDv7 are its milliseconds. */
const ENDABLE = `
  WITH stopped AS MATERIALIZED (
    SELECT value ->> 'stopId' AS stop_id, value ->> 'scope' AS scope, value ->> 'namespace' AS stop_namespace, value ->> 'target' AS target,
           value ->> 'lifted' AS lifted
    FROM json_each(:stopped))
  ${SELECT_RELEASE}
  WHERE outcome IS NULL AND (expires_at <= :now OR EXISTS (
    SELECT 1 FROM stopped
    WHERE (NOT lifted OR substr(release_id, 1, 13) < substr(stop_id, 1, 13))
      AND (scope = 'vault' OR (stop_namespace = namespace
        AND (scope = 'namespace' OR target = CASE scope WHEN 'requester' THEN subject_id WHEN 'model' THEN model_id ELSE version_id END)))))
  ORDER BY created_at, release_id LIMIT :limit`;

const OPEN_VERSIONS = 'SELECT DISTINCT namespace, version_id AS versionId FROM releases WHERE outcome IS NULL';

function progress(join: Join): Part<'recordProgress' | 'progress'> {
  return {
    async recordProgress(tx, releaseId, figures) {
      join(tx).run(
        `INSERT INTO release_progress (release_id, node, bytes, completed_objects, aborted_streams, active_streams, small_ranges)
         VALUES (:releaseId, :node, :bytes, :completedObjects, :abortedStreams, :activeStreams, :smallRanges)
         ON CONFLICT (release_id, node) DO UPDATE SET bytes = excluded.bytes, completed_objects = excluded.completed_objects,
           aborted_streams = excluded.aborted_streams, active_streams = excluded.active_streams, small_ranges = excluded.small_ranges`,
        { releaseId, ...figures },
      );
    },
    async progress(tx, releaseId) {
      return join(tx).all<ProgressRow>(
        `SELECT node, bytes, completed_objects AS completedObjects, aborted_streams AS abortedStreams, active_streams AS activeStreams,
                small_ranges AS smallRanges
         FROM release_progress WHERE release_id = :releaseId ORDER BY node`,
        { releaseId },
      );
    },
  };
}

function stops(join: Join): Part<'insertStop' | 'pointLift' | 'stops'> {
  return {
    async insertStop(tx, stop) {
      join(tx).run(
        `INSERT INTO stops (stop_id, scope, namespace, target, name, created_at, lift_digest)
         VALUES (:stopId, :scope, :namespace, :target, :name, :createdAt, :liftDigest) ON CONFLICT DO NOTHING`,
        { target: undefined, name: undefined, liftDigest: undefined, ...stop },
      );
    },
    async pointLift(tx, stopId, liftDigest) {
      return join(tx).run('UPDATE stops SET lift_digest = :liftDigest WHERE stop_id = :stopId', { stopId, liftDigest }) === 1;
    },
    async stops(tx) {
      return join(tx).all<StoredStop>(SELECT_STOPS).map(stopRow);
    },
  };
}

const SELECT_STOPS = `
  SELECT stop_id AS stopId, scope, namespace, target, name, created_at AS createdAt, lift_digest AS liftDigest
  FROM stops ORDER BY created_at, stop_id`;

type StoredStop = { readonly [K in keyof Required<Omit<StopRow, 'createdAt'>>]: Required<StopRow>[K] | null } & {
  readonly createdAt: number;
};

/** What is NULL is left out. */
function stopRow({ createdAt, ...row }: StoredStop): StopRow {
  const said = Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null));
  return { ...said, createdAt: new Date(createdAt) } as StopRow; // NOT NULL holds the rest
}

function nodes(join: Join): Part<'renewNode' | 'anyNodeLives' | 'nodeLives'> {
  return {
    async renewNode(tx, node, leaseUntil) {
      join(tx).run(
        `INSERT INTO nodes (node, lease_until) VALUES (:node, :leaseUntil)
         ON CONFLICT (node) DO UPDATE SET lease_until = excluded.lease_until`,
        { node, leaseUntil },
      );
    },
    async anyNodeLives(tx) {
      return join(tx).get('SELECT 1 FROM nodes WHERE lease_until > :now', { now: tx.now }) !== undefined;
    },
    async nodeLives(tx, node) {
      return join(tx).get('SELECT 1 FROM nodes WHERE node = :node AND lease_until > :now', { node, now: tx.now }) !== undefined;
    },
  };
}

import { VaultError } from '../../domain/errors.ts';
import type { SpkiDigest } from '../../domain/evidence.ts';
import type { AdministratorId, Digest } from '../../domain/ids.ts';
import type { AdministratorRow, ClaimRow, IdentityStore, SessionRow, SubjectRow } from '../../identity/port.ts';
import { bytesOf, type Join } from './transaction.ts';

export function sqliteIdentity(join: Join): IdentityStore {
  return { ...administrators(join), ...subjects(join), ...logins(join), ...sessions(join), ...stepUps(join), ...claims(join) };
}

type Part<K extends keyof IdentityStore> = Pick<IdentityStore, K>;

function administrators(
  join: Join,
): Part<'insertAdministrator' | 'administratorByName' | 'administrator' | 'administrators' | 'forgetName'> {
  const select = 'SELECT administrator_id AS administratorId, name FROM administrators';
  return {
    async insertAdministrator(tx, row) {
      const inserted = join(tx).run(
        `INSERT INTO administrators (administrator_id, name) VALUES (:administratorId, :name)
         ON CONFLICT (name) DO NOTHING`,
        { ...row },
      );
      if (inserted === 0) throw new VaultError('administrator_exists', row.name);
    },
    async administratorByName(tx, name) {
      return join(tx).get<AdministratorRow>(`${select} WHERE name = :name`, { name });
    },
    async administrator(tx, administratorId) {
      return join(tx).get<AdministratorRow>(`${select} WHERE administrator_id = :administratorId`, { administratorId });
    },
    async administrators(tx) {
      return join(tx).all<AdministratorRow>(`${select} ORDER BY name`);
    },
    async forgetName(tx, administratorId) {
      const of = 'SELECT name FROM administrators WHERE administrator_id = :administratorId';
      join(tx).run(`DELETE FROM login_failures WHERE administrator = (${of})`, { administratorId });
      join(tx).run('UPDATE administrators SET name = :administratorId WHERE administrator_id = :administratorId', { administratorId });
    },
  };
}

function subjects(join: Join): Part<'insertSubject' | 'subject' | 'subjectByName' | 'subjects' | 'subjectByAttesterKey'> {
  const select = `
    SELECT subject_id AS subjectId, namespace, name, attester_key AS attesterKey, document_digest AS documentDigest
    FROM subjects WHERE namespace = :namespace`;
  return {
    async insertSubject(tx, row) {
      const inserted = join(tx).run(
        `INSERT INTO subjects (subject_id, namespace, name, attester_key, document_digest)
         VALUES (:subjectId, :namespace, :name, :attesterKey, :documentDigest)
         ON CONFLICT (namespace, name) DO NOTHING
         ON CONFLICT (namespace, attester_key) DO NOTHING`,
        { ...row },
      );
      if (inserted === 0) throw new VaultError('subject_exists', row.name);
    },
    async subject(tx, namespace, subjectId) {
      return join(tx).get<SubjectRow>(`${select} AND subject_id = :subjectId`, { namespace, subjectId });
    },
    async subjectByName(tx, namespace, name) {
      return join(tx).get<SubjectRow>(`${select} AND name = :name`, { namespace, name });
    },
    async subjects(tx, namespace, limit, after = '') {
      return join(tx).all<SubjectRow>(`${select} AND name > :after ORDER BY name LIMIT :limit`, { namespace, limit, after });
    },
    async subjectByAttesterKey(tx, namespace, attesterKey) {
      return join(tx).get<SubjectRow>(`${select} AND attester_key = :attesterKey`, { namespace, attesterKey });
    },
  };
}

function logins(
  join: Join,
): Part<'claimTimeStep' | 'recordLoginFailure' | 'loginFailures' | 'withdrawLoginFailure' | 'purgeLoginFailures' | 'forgetLoginFailures'> {
  return {
    async claimTimeStep(tx, authenticatorId, timeStep) {
      const claimed = join(tx).run(
        `INSERT INTO time_steps (authenticator_id, last_step) VALUES (:authenticatorId, :timeStep)
         ON CONFLICT (authenticator_id) DO UPDATE SET last_step = excluded.last_step WHERE excluded.last_step > last_step`,
        { authenticatorId, timeStep },
      );
      return claimed === 1;
    },
    async recordLoginFailure(tx, administrator, workstation) {
      join(tx).run('INSERT INTO login_failures (administrator, workstation, failed_at) VALUES (:administrator, :workstation, :now)', {
        administrator,
        workstation,
        now: tx.now,
      });
    },
    async loginFailures(tx, administrator, workstation, since) {
      const row = join(tx).get<{ failures: number }>(
        `SELECT count(*) AS failures FROM login_failures
         WHERE administrator = :administrator AND workstation = :workstation AND failed_at >= :since`,
        { administrator, workstation, since },
      );
      return row?.failures ?? 0;
    },
    async withdrawLoginFailure(tx, administrator, workstation) {
      join(tx).run(
        `DELETE FROM login_failures WHERE rowid =
           (SELECT max(rowid) FROM login_failures WHERE administrator = :administrator AND workstation = :workstation)`,
        { administrator, workstation },
      );
    },
    async purgeLoginFailures(tx, before) {
      join(tx).run('DELETE FROM login_failures WHERE failed_at < :before', { before });
    },
    async forgetLoginFailures(tx, administrator, workstation) {
      join(tx).run('DELETE FROM login_failures WHERE administrator = :administrator AND workstation = :workstation', {
        administrator,
        workstation,
      });
    },
  };
}

interface StoredSession {
  readonly tokenDigest: Digest;
  readonly administratorId: AdministratorId;
  readonly authenticatorId: string;
  readonly workstation: SpkiDigest;
  readonly createdAt: number;
  readonly lastSeenAt: number;
  readonly stepUpAt: number;
  readonly stepUpFor: Digest | null;
}

function sessions(join: Join): Part<'insertSession' | 'session' | 'touchSession' | 'deleteSession' | 'deleteSessionsOf' | 'purgeSessions'> {
  return {
    async insertSession(tx, session) {
      join(tx).run(INSERT_SESSION, { stepUpFor: undefined, ...session });
    },
    async session(tx, tokenDigest) {
      const row = join(tx).get<StoredSession>(SELECT_SESSION, { tokenDigest });
      return row && sessionRow(row);
    },
    async touchSession(tx, tokenDigest) {
      join(tx).run('UPDATE sessions SET last_seen_at = :now WHERE token_digest = :tokenDigest', { tokenDigest, now: tx.now });
    },
    async deleteSession(tx, tokenDigest) {
      join(tx).run('DELETE FROM sessions WHERE token_digest = :tokenDigest', { tokenDigest });
    },
    async deleteSessionsOf(tx, administratorId) {
      join(tx).run('DELETE FROM sessions WHERE administrator_id = :administratorId', { administratorId });
    },
    async purgeSessions(tx, over) {
      join(tx).run('DELETE FROM sessions WHERE created_at <= :createdBefore OR last_seen_at <= :seenBefore', { ...over });
    },
  };
}

const INSERT_SESSION = `
  INSERT INTO sessions (token_digest, administrator_id, authenticator_id, workstation, created_at, last_seen_at, step_up_at, step_up_for)
  VALUES (:tokenDigest, :administratorId, :authenticatorId, :workstation, :createdAt, :lastSeenAt, :stepUpAt, :stepUpFor)`;

const SELECT_SESSION = `
  SELECT token_digest AS tokenDigest, administrator_id AS administratorId, authenticator_id AS authenticatorId, workstation,
         created_at AS createdAt, last_seen_at AS lastSeenAt, step_up_at AS stepUpAt, step_up_for AS stepUpFor
  FROM sessions WHERE token_digest = :tokenDigest`;

function sessionRow({ createdAt, lastSeenAt, stepUpAt, stepUpFor, ...row }: StoredSession): SessionRow {
  const times = { createdAt: new Date(createdAt), lastSeenAt: new Date(lastSeenAt), stepUpAt: new Date(stepUpAt) };
  return { ...row, ...times, ...(stepUpFor !== null && { stepUpFor }) };
}

function stepUps(join: Join): Part<'stepUp' | 'spendStepUp'> {
  return {
    async stepUp(tx, tokenDigest, operationDigest) {
      const stepped = join(tx).run(
        'UPDATE sessions SET step_up_at = :now, step_up_for = :operationDigest WHERE token_digest = :tokenDigest',
        { tokenDigest, operationDigest, now: tx.now },
      );
      return stepped === 1;
    },
    async spendStepUp(tx, tokenDigest, operationDigest, since) {
      const spent = join(tx).run(
        `UPDATE sessions SET step_up_for = NULL
         WHERE token_digest = :tokenDigest AND step_up_for = :operationDigest AND step_up_at > :since`,
        { tokenDigest, operationDigest, since },
      );
      return spent === 1;
    },
  };
}

type StoredClaim = Omit<ClaimRow, 'begunAt'> & { readonly begunAt: number };

function claims(join: Join): Part<'putClaim' | 'claim' | 'deleteClaim'> {
  return {
    async putClaim(tx, claim) {
      join(tx).run(
        `INSERT OR REPLACE INTO claims (administrator_id, authenticator_id, counter, workstation, wrapped_seed, begun_at)
         VALUES (:administratorId, :authenticatorId, :counter, :workstation, :wrappedSeed, :begunAt)`,
        { ...claim },
      );
    },
    async claim(tx, administratorId) {
      const row = join(tx).get<StoredClaim>(SELECT_CLAIM, { administratorId });
      return row && { ...row, wrappedSeed: bytesOf(row.wrappedSeed), begunAt: new Date(row.begunAt) };
    },
    async deleteClaim(tx, administratorId) {
      return join(tx).run('DELETE FROM claims WHERE administrator_id = :administratorId', { administratorId }) === 1;
    },
  };
}

const SELECT_CLAIM = `
  SELECT administrator_id AS administratorId, authenticator_id AS authenticatorId, counter, workstation, wrapped_seed AS wrappedSeed,
         begun_at AS begunAt
  FROM claims WHERE administrator_id = :administratorId`;

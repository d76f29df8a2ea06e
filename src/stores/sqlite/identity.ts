import { VaultError } from '../../domain/errors.ts';
import type { SpkiDigest } from '../../domain/evidence.ts';
import type { AdministratorId, Digest } from '../../domain/ids.ts';
import type { AdministratorRow, IdentityStore, SessionRow, SubjectRow } from '../../identity/port.ts';
import type { Join } from './transaction.ts';

export function sqliteIdentity(join: Join): IdentityStore {
  return { ...administrators(join), ...subjects(join), ...logins(join), ...sessions(join) };
}

type Part<K extends keyof IdentityStore> = Pick<IdentityStore, K>;

function administrators(join: Join): Part<'insertAdministrator' | 'administratorByName' | 'administrator' | 'administrators'> {
  const select = 'SELECT administrator_id AS administratorId, name, document_digest AS documentDigest FROM administrators';
  return {
    async insertAdministrator(tx, row) {
      const inserted = join(tx).run(
        `INSERT INTO administrators (administrator_id, name, document_digest) VALUES (:administratorId, :name, :documentDigest)
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
  };
}

function subjects(join: Join): Part<'insertSubject' | 'subject' | 'subjectByName' | 'subjectByAkName'> {
  const select = `
    SELECT subject_id AS subjectId, namespace, name, ak_name AS akName, document_digest AS documentDigest
    FROM subjects WHERE namespace = :namespace`;
  return {
    async insertSubject(tx, row) {
      const inserted = join(tx).run(
        `INSERT INTO subjects (subject_id, namespace, name, ak_name, document_digest)
         VALUES (:subjectId, :namespace, :name, :akName, :documentDigest)
         ON CONFLICT (namespace, name) DO NOTHING
         ON CONFLICT (namespace, ak_name) DO NOTHING`,
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
    async subjectByAkName(tx, namespace, akName) {
      return join(tx).get<SubjectRow>(`${select} AND ak_name = :akName`, { namespace, akName });
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
}

function sessions(join: Join): Part<'insertSession' | 'session' | 'touchSession' | 'deleteSession'> {
  return {
    async insertSession(tx, session) {
      join(tx).run(
        `INSERT INTO sessions (token_digest, administrator_id, authenticator_id, workstation, created_at, last_seen_at)
         VALUES (:tokenDigest, :administratorId, :authenticatorId, :workstation, :createdAt, :lastSeenAt)`,
        { ...session },
      );
    },
    async session(tx, tokenDigest) {
      const row = join(tx).get<StoredSession>(SELECT_SESSION, { tokenDigest });
      return row && ({ ...row, createdAt: new Date(row.createdAt), lastSeenAt: new Date(row.lastSeenAt) } satisfies SessionRow);
    },
    async touchSession(tx, tokenDigest) {
      join(tx).run('UPDATE sessions SET last_seen_at = :now WHERE token_digest = :tokenDigest', { tokenDigest, now: tx.now });
    },
    async deleteSession(tx, tokenDigest) {
      join(tx).run('DELETE FROM sessions WHERE token_digest = :tokenDigest', { tokenDigest });
    },
  };
}

const SELECT_SESSION = `
  SELECT token_digest AS tokenDigest, administrator_id AS administratorId, authenticator_id AS authenticatorId, workstation,
         created_at AS createdAt, last_seen_at AS lastSeenAt
  FROM sessions WHERE token_digest = :tokenDigest`;

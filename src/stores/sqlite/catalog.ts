import type { CatalogStore, ModelRow, RecoveryWrap, VersionRow, WrappedDek } from '../../catalog/port.ts';
import { VaultError } from '../../domain/errors.ts';
import type { Digest, ModelId, Namespace, VersionId } from '../../domain/ids.ts';
import type { ManifestObject, VersionState } from '../../domain/model.ts';
import { jobOf, PUT_JOB, SELECT_JOB, type StoredJob } from './rewrap-job.ts';
import { ACQUIRE_MAKING } from './schema-keys.ts';
import { bytesOf, type Join, type SqliteTx } from './transaction.ts';

export function sqliteCatalog(join: Join): CatalogStore {
  return {
    async insertModel(tx, model) {
      const inserted = join(tx).run(
        `INSERT INTO models (namespace, model_id, name, class) VALUES (:namespace, :modelId, :name, :class)
         ON CONFLICT (namespace, name) DO NOTHING`,
        { ...model },
      );
      if (inserted === 0) throw new VaultError('model_exists', model.name);
    },

    async modelByName(tx, namespace, name) {
      return join(tx).get<ModelRow>(`${SELECT_MODEL} WHERE namespace = :namespace AND name = :name`, { namespace, name });
    },

    async model(tx, namespace, modelId) {
      return join(tx).get<ModelRow>(`${SELECT_MODEL} WHERE namespace = :namespace AND model_id = :modelId`, { namespace, modelId });
    },

    async models(tx, namespace, limit, after) {
      const sql = `${SELECT_MODEL} WHERE namespace = :namespace AND name > :after ORDER BY name LIMIT :limit`;
      return join(tx).all<ModelRow>(sql, { namespace, limit, after: after ?? '' }); // every name is greater than the empty text
    },

    async insertVersion(tx, version) {
      join(tx).run(INSERT_VERSION, { versionDigest: undefined, promotionDigest: undefined, ...version });
    },

    async version(tx, namespace, versionId) {
      const row = join(tx).get<StoredVersion>(`${SELECT_VERSION} WHERE namespace = :namespace AND version_id = :versionId`, {
        namespace,
        versionId,
      });
      return row && versionRow(row);
    },

    async versions(tx, namespace, modelId, limit, before) {
      const sql = before === undefined ? `${OF_MODEL} ${NEWEST_FIRST}` : `${OF_MODEL} ${OLDER_THAN} ${NEWEST_FIRST}`;
      const params = { namespace, modelId, limit };
      return join(tx)
        .all<StoredVersion>(sql, before === undefined ? params : { ...params, before })
        .map(versionRow);
    },

    async addObject(tx, versionId, foldedPath, object) {
      const joinedTx = join(tx);
      requireUploading(joinedTx, versionId);
      return joinedTx.run(INSERT_OBJECT, { versionId, foldedPath, path: object.path, object: JSON.stringify(object) }) === 1;
    },

    async objects(tx, versionId) {
      const sql = 'SELECT object FROM uploaded_objects WHERE version_id = :versionId ORDER BY path'; // BINARY: by UTF-8 bytes
      const rows = join(tx).all<{ object: string }>(sql, { versionId });
      return rows.map((row) => JSON.parse(row.object) as ManifestObject); // written by addObject alone
    },

    async quarantine(tx, namespace, versionId, versionDigest) {
      const moved = join(tx).run(QUARANTINE, { namespace, versionId, versionDigest }) === 1;
      if (moved) join(tx).run('DELETE FROM uploaded_objects WHERE version_id = :versionId', { versionId });
      return moved;
    },

    async wrappedDeks(tx, limit, after) {
      const rows = join(tx).all<StoredDek>(WRAPPED_DEKS, { limit, after: after ?? '' });
      return rows.map(({ recoveryKeyId, ...row }) => ({
        ...row,
        wrappedDek: bytesOf(row.wrappedDek),
        ...(recoveryKeyId !== null && { recoveryKeyId }),
      }));
    },

    async countVersions(tx) {
      return join(tx).get<{ n: number }>('SELECT count(*) AS n FROM versions WHERE length(wrapped_dek) > 0', {})?.n ?? 0;
    },

    async recoveryWrap(tx, versionId) {
      const row = join(tx).get<RecoveryWrap>(SELECT_RECOVERY, { versionId });
      return row && { ...row, wrapped: bytesOf(row.wrapped) };
    },

    async putRecoveryWrap(tx, versionId, { keyId, wrapped }) {
      join(tx).run('INSERT OR REPLACE INTO recovery_wraps (version_id, key_id, wrapped) VALUES (:versionId, :keyId, :wrapped)', {
        versionId,
        keyId,
        wrapped,
      });
    },

    async countRecoveryWraps(tx, keyId) {
      return join(tx).get<{ n: number }>('SELECT count(*) AS n FROM recovery_wraps WHERE key_id = :keyId', { keyId })?.n ?? 0;
    },

    async dropRecoveryWraps(tx) {
      join(tx).run('DELETE FROM recovery_wraps', {});
    },

    async eraseKeys(tx, versionId) {
      join(tx).run('DELETE FROM recovery_wraps WHERE version_id = :versionId', { versionId });
      join(tx).run("UPDATE versions SET wrapped_dek = x'' WHERE version_id = :versionId", { versionId });
    },

    async rewrapJob(tx) {
      const row = join(tx).get<StoredJob>(SELECT_JOB, {});
      return row && jobOf(row);
    },

    async acquireKeyMaking(tx, maker, until) {
      return join(tx).run(ACQUIRE_MAKING, { maker, until, now: tx.now }) === 1;
    },
    async releaseKeyMaking(tx, maker) {
      join(tx).run('DELETE FROM key_making WHERE maker = :maker', { maker });
    },
    async putRewrapJob(tx, job) {
      join(tx).run(PUT_JOB, { after: undefined, finishedAt: undefined, ...job });
    },

    async rewrap(tx, versionId, from, to) {
      const sql = 'UPDATE versions SET wrapped_dek = :to WHERE version_id = :versionId AND wrapped_dek = :from';
      return join(tx).run(sql, { versionId, from, to }) === 1;
    },

    async setClass(tx, namespace, modelId, to) {
      const sql = 'UPDATE models SET class = :to WHERE namespace = :namespace AND model_id = :modelId';
      if (join(tx).run(sql, { namespace, modelId, to }) === 0) throw new VaultError('model_unknown', modelId);
    },

    async promote(tx, namespace, versionId, promotionDigest) {
      return join(tx).run(PROMOTE, { namespace, versionId, promotionDigest }) === 1;
    },
  };
}

const SELECT_RECOVERY = 'SELECT key_id AS keyId, wrapped FROM recovery_wraps WHERE version_id = :versionId';

const SELECT_MODEL = 'SELECT namespace, model_id AS modelId, name, class FROM models';

const INSERT_VERSION = `
  INSERT INTO versions (namespace, model_id, version_id, state, created_at, wrapped_dek, version_digest, promotion_digest)
  VALUES (:namespace, :modelId, :versionId, :state, :createdAt, :wrappedDek, :versionDigest, :promotionDigest)`;

const SELECT_VERSION = `
  SELECT namespace, model_id AS modelId, version_id AS versionId, state, created_at AS createdAt, wrapped_dek AS wrappedDek,
         version_digest AS versionDigest, promotion_digest AS promotionDigest
  FROM versions`;

const OF_MODEL = `${SELECT_VERSION} WHERE namespace = :namespace AND model_id = :modelId`;
/** Nothing is older than a version that this model does not have. */
const OLDER_THAN = `AND (created_at, version_id) < (
  SELECT created_at, version_id FROM versions WHERE namespace = :namespace AND model_id = :modelId AND version_id = :before)`;
const NEWEST_FIRST = 'ORDER BY created_at DESC, version_id DESC LIMIT :limit';

const INSERT_OBJECT = `
  INSERT INTO uploaded_objects (version_id, folded_path, path, object) VALUES (:versionId, :foldedPath, :path, :object)
  ON CONFLICT (version_id, folded_path) DO NOTHING`;

const QUARANTINE = `
  UPDATE versions SET state = 'quarantined', version_digest = :versionDigest
  WHERE namespace = :namespace AND version_id = :versionId AND state = 'uploading'`;

const PROMOTE = `
  UPDATE versions SET state = 'promoted', promotion_digest = :promotionDigest
  WHERE namespace = :namespace AND version_id = :versionId AND state = 'quarantined'`;

/** Every id is greater than the empty text. */
const WRAPPED_DEKS = `
  SELECT v.namespace, v.model_id AS modelId, v.version_id AS versionId, v.wrapped_dek AS wrappedDek, r.key_id AS recoveryKeyId
  FROM versions v LEFT JOIN recovery_wraps r ON r.version_id = v.version_id
  WHERE v.version_id > :after AND length(v.wrapped_dek) > 0 ORDER BY v.version_id LIMIT :limit`;

type StoredDek = Omit<WrappedDek, 'recoveryKeyId'> & { readonly recoveryKeyId: string | null };

interface StoredVersion {
  readonly namespace: Namespace;
  readonly modelId: ModelId;
  readonly versionId: VersionId;
  readonly state: VersionState;
  readonly createdAt: number;
  readonly wrappedDek: Uint8Array;
  readonly versionDigest: Digest | null;
  readonly promotionDigest: Digest | null;
}

function versionRow({ versionDigest, promotionDigest, ...row }: StoredVersion): VersionRow {
  return {
    ...row,
    createdAt: new Date(row.createdAt),
    wrappedDek: bytesOf(row.wrappedDek),
    ...(versionDigest === null ? {} : { versionDigest }),
    ...(promotionDigest === null ? {} : { promotionDigest }),
  };
}

function requireUploading(tx: SqliteTx, versionId: VersionId): void {
  const row = tx.get<{ state: VersionState }>('SELECT state FROM versions WHERE version_id = :versionId', { versionId });
  if (row === undefined) throw new VaultError('version_unknown');
  if (row.state !== 'uploading') throw new VaultError('version_state_conflict', `the version is ${row.state}`);
}

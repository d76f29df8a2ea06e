/** CatalogStore: models, versions, objects being uploaded, and their states. Suite: test/contract/catalog-store.ts. */
import type { ClassName } from '../domain/classes.ts';
import type { Digest, Incarnation, ModelId, Namespace, VersionId } from '../domain/ids.ts';
import type { ManifestObject, VersionState } from '../domain/model.ts';
import type { Tx } from '../domain/unit-of-work.ts';

export interface ModelRow {
  readonly namespace: Namespace;
  readonly modelId: ModelId;
  readonly name: string;
  readonly class: ClassName;
}

/** A row only points: class, sizes and promotion are believed from the signed documents. */
export interface VersionRow {
  readonly namespace: Namespace;
  readonly modelId: ModelId;
  readonly versionId: VersionId;
  readonly state: VersionState;
  readonly createdAt: Date;
  /** CBOR of docs/formats/wrapped-key.md. */
  readonly wrappedDek: Uint8Array;
  /** Set when the manifest is signed; equals SHA-256 of its bytes. */
  readonly versionDigest?: Digest;
  /** Digest of the signed promotion, once promoted. */
  readonly promotionDigest?: Digest;
}

export type WrappedDek = Pick<VersionRow, 'namespace' | 'modelId' | 'versionId' | 'wrappedDek'> & {
  /** The recovery key that it is wrapped for too. */
  readonly recoveryKeyId?: string;
};

/** docs/formats/recovery.md. */
export interface RecoveryWrap {
  readonly keyId: string;
  readonly wrapped: Uint8Array;
}

/** How far the keys of the vault have been rewrapped: for whoever watches, and for the process that goes on. The blobs themselves are the truth. */
export interface RewrapJob {
  /** What is being reached: names the key rings' counters. Another target is another job. */
  readonly target: string;
  /** The last version that was looked at; absent before the first. */
  readonly after?: VersionId;
  readonly total: number;
  /** Looked at in this pass: rewrapped, right already, failed or waiting. */
  readonly done: number;
  readonly rewrapped: number;
  /** Could not be rewrapped, and stays under the version that opens it. */
  readonly failed: number;
  /** Wrapped under a suspended version, or would be. */
  readonly waiting: number;
  readonly keysPerSecond: number;
  readonly startedAt: Date;
  readonly updatedAt: Date;
  /** A whole pass left nothing undone. */
  readonly finishedAt?: Date;
  /** The process that works on it, until its lease ends. */
  readonly holder: Incarnation;
  readonly leaseUntil: Date;
}

export interface CatalogStore {
  /** Rejects `model_exists` when the name is taken in the namespace. */
  insertModel(tx: Tx, model: ModelRow): Promise<void>;
  modelByName(tx: Tx, namespace: Namespace, name: string): Promise<ModelRow | undefined>;
  model(tx: Tx, namespace: Namespace, modelId: ModelId): Promise<ModelRow | undefined>;
  /** In order of name, at most `limit`; `after` (a name, which need not exist) continues a listing. */
  models(tx: Tx, namespace: Namespace, limit: number, after?: string): Promise<readonly ModelRow[]>;
  insertVersion(tx: Tx, version: VersionRow): Promise<void>;
  version(tx: Tx, namespace: Namespace, versionId: VersionId): Promise<VersionRow | undefined>;
  /** Newest first, at most `limit`; `before` continues a listing. */
  versions(tx: Tx, namespace: Namespace, modelId: ModelId, limit: number, before?: VersionId): Promise<readonly VersionRow[]>;
  /** Adds an uploaded object to a version in state `uploading`; false when its folded path is taken already. */
  addObject(tx: Tx, versionId: VersionId, foldedPath: string, object: ManifestObject): Promise<boolean>;
  /** In order of path. */
  objects(tx: Tx, versionId: VersionId): Promise<readonly ManifestObject[]>;
  /** uploading -> quarantined, with the digest of the signed manifest; false when the version was not uploading. Drops the uploaded-object rows. */
  quarantine(tx: Tx, namespace: Namespace, versionId: VersionId, versionDigest: Digest): Promise<boolean>;
  /** Of every version that has one, in order of id, at most `limit` after `after`: what a rotation goes through. */
  wrappedDeks(tx: Tx, limit: number, after?: VersionId): Promise<readonly WrappedDek[]>;
  /** Those that have a wrapped DEK. */
  countVersions(tx: Tx): Promise<number>;
  recoveryWrap(tx: Tx, versionId: VersionId): Promise<RecoveryWrap | undefined>;
  /** Replaces the one there is. */
  putRecoveryWrap(tx: Tx, versionId: VersionId, wrap: RecoveryWrap): Promise<void>;
  countRecoveryWraps(tx: Tx, keyId: string): Promise<number>;
  dropRecoveryWraps(tx: Tx): Promise<void>;
  /** Forgets the wrapped DEK of a version, which then is empty, and its recovery wrap. */
  eraseKeys(tx: Tx, versionId: VersionId): Promise<void>;
  /** The one job there is, or was last; undefined before the first. */
  rewrapJob(tx: Tx): Promise<RewrapJob | undefined>;
  /** Replaces it as a whole. */
  putRewrapJob(tx: Tx, job: RewrapJob): Promise<void>;
  /** True when `maker` alone makes keys until `until`: nobody did, or their time is over by that of the database. */
  acquireKeyMaking(tx: Tx, maker: string, until: Date): Promise<boolean>;
  /** Gives it back, when it is `maker`'s. */
  releaseKeyMaking(tx: Tx, maker: string): Promise<void>;
  /** Replaces a version's wrapped DEK if it is still `from`, byte for byte; false when another was quicker. */
  rewrap(tx: Tx, versionId: VersionId, from: Uint8Array, to: Uint8Array): Promise<boolean>;
  /** The class of the model's row: what its next versions must be announced with. */
  setClass(tx: Tx, namespace: Namespace, modelId: ModelId, to: ClassName): Promise<void>;
  /** quarantined -> promoted, with the digest of the signed promotion; false when the version was not quarantined. */
  promote(tx: Tx, namespace: Namespace, versionId: VersionId, promotionDigest: Digest): Promise<boolean>;
}

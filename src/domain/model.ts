/** Model, ModelVersion, Object: what is stored. The signed manifest is the truth; rows only point at it. */
import type { ClassName } from './classes.ts';
import type { BlobName, Digest, ModelId, Namespace, ObjectPath, VaultId, VersionId } from './ids.ts';

/** Ciphertext of up to 64 segments: the unit of storage, of caches and of repair. */
export interface Unit {
  /** SHA-256 of the ciphertext, which is also the blob's name. */
  readonly ciphertextSha256: BlobName;
  readonly bytes: number;
}

/** One file of a version. */
export interface ManifestObject {
  readonly path: ObjectPath;
  /** Plaintext bytes. */
  readonly size: number;
  /** SHA-256 of the plaintext. */
  readonly sha256: Digest;
  /** FLOE header, base64. */
  readonly header: string;
  readonly units: readonly Unit[];
}

/** docs/formats/manifest.md. Canonical JSON, signed by the catalogue key; its SHA-256 is the version's digest. */
export interface Manifest {
  readonly v: 1;
  readonly vaultId: VaultId;
  readonly namespace: Namespace;
  readonly modelId: ModelId;
  readonly versionId: VersionId;
  readonly class: ClassName;
  readonly createdAt: string;
  readonly suite: { readonly id: 'FLOE-AES-256-GCM-HKDF-EXPAND-SHA-384'; readonly segmentBytes: number; readonly rotationMask: number };
  readonly objects: readonly ManifestObject[];
  readonly attributes: Readonly<Record<string, string>>;
}

/** Segments in one unit: 64 segments of 1 MiB plaintext. */
export const SEGMENTS_PER_UNIT = 64;

export type VersionState = 'uploading' | 'quarantined' | 'promoted';

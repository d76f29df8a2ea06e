/** What the use cases work with. Each takes only the members it names (`Pick<Vault, ...>`); compose.ts puts the real ones in. */
import type { KeyObject } from 'node:crypto';
import type { EvidenceVerifier } from '../attestation/port.ts';
import type { AccessLog } from '../audit/access-log.ts';
import type { Levels } from '../audit/levels.ts';
import type { Room } from '../audit/room.ts';
import type { VerifierKey } from '../audit/vkey.ts';
import type { BlobStore } from '../blobs/port.ts';
import type { ClassName, RecordLevel } from '../domain/classes.ts';
import type { VaultError } from '../domain/errors.ts';
import type { Incarnation, VaultId } from '../domain/ids.ts';
import type { KekWrap } from '../domain/kek-wrap.ts';
import type { SiteOf } from '../domain/site.ts';
import type { DekLeases } from '../keys/dek-leases.ts';
import type { KeyProvider, KeyRef } from '../keys/port.ts';
import type { Stores } from '../stores/port.ts';
import type { ReleaseMeter } from './meter.ts';
import type { Revocations } from './revoke.ts';

export interface Vault {
  readonly vaultId: VaultId;
  /** This start of this process. */
  readonly node: Incarnation;
  readonly stores: Stores;
  readonly blobs: BlobStore;
  readonly keys: KeyProvider;
  /** The KEK that the vault was made with. Which version wraps new DEKs now: key-ring.ts. */
  readonly kek: RecordedKek;
  /** Signs documents and verifies them. */
  readonly catalogueKey: CatalogueKey;
  readonly accessLog: AccessLog;
  /** What checkpoints of the log verify with. */
  readonly logKey: VerifierKey;
  /** Why the access log is no longer signed: then nothing is released. Undefined while all is well. */
  readonly logHalted: () => VaultError | undefined;
  /** Whether there is room for records: anything but ample, and nothing new is released. */
  readonly logRoom: () => Room;
  /** How far records have come; what a release waits for: record-level.ts. */
  readonly levels: Levels;
  /** Where this vault waits for more than the class demands. */
  readonly recordLevels: Readonly<Partial<Record<ClassName, RecordLevel>>>;
  /** How long the newest checkpoint waits for a quorum of witnesses, milliseconds; undefined without any. */
  readonly witnessLagMs?: () => number | undefined;
  /** Where an address is; absent where no sites are declared. */
  readonly siteOf?: SiteOf | undefined;
  readonly deks: DekLeases;
  readonly verifiers: ReadonlyMap<string, EvidenceVerifier>;
  readonly revocations: Revocations;
  readonly meter: ReleaseMeter;
}

/** `wrap` is absent of a vault that was made before it was recorded. */
export type RecordedKek = KeyRef & { readonly wrap?: KekWrap | undefined };

export interface CatalogueKey {
  /** As the HSM itself shows it, so a database writer cannot put another in its place. */
  readonly publicKey: KeyObject;
  sign(message: Uint8Array): Promise<Uint8Array>;
}

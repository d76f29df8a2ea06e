/** AccessRecord: what one leaf of the access log says, schemas v1 and v2. Format, field by field: docs/formats/access-log.md. */
import type { ReleaseOutcome } from '../domain/access.ts';
import type { ClassName } from '../domain/classes.ts';
import type { ErrorCode } from '../domain/errors.ts';
import type { EvidenceKind, SpkiDigest, Tier } from '../domain/evidence.ts';
import type {
  AdministratorId,
  Digest,
  KeyId,
  KeyName,
  ModelId,
  Namespace,
  ObjectPath,
  RecordId,
  ReleaseId,
  RequestId,
  StopId,
  SubjectId,
  VersionId,
} from '../domain/ids.ts';
import type { OperationKind } from '../domain/operation.ts';
import type { StopKind, StopScope } from '../domain/stop.ts';
import { SINCE_2 } from './leaf-version.ts';
import type { Loggable } from './loggable.ts';
import type { PrunedBundles } from './pruned.ts';

export { type Ambient, type BuiltLeaf, buildLeaf, commitment, type LeafSummary, parseLeaf } from './leaf.ts';
export { type Loggable, loggable, loggableList, loggableMap } from './loggable.ts';

export const RECORD_TYPES = [
  'vault.initialized',
  'vault.started',
  'vault.restored',
  'release.begin',
  'release.end',
  'release.unknown',
  'release.denied',
  'object.denied',
  'object.integrity',
  'admin.login',
  'admin.denied',
  'model.created',
  'version.published',
  'version.promoted',
  'approval.requested',
  'approval.refused',
  'approval.executed',
  'approval.cancelled',
  'document.activated',
  'attester.enrolled',
  'authenticator.claimed',
  'key.rotated',
  'key.rewrapped',
  'key.destroyed',
  'release.renewed',
  'stop.placed',
  'stop.lifted',
  'log.read',
  ...SINCE_2.type,
] as const;
export type RecordType = (typeof RECORD_TYPES)[number];

/** What the vault noticed beside what happened, for whoever watches. Never in a record whose receipt a requester gets. Since schema v2. */
export const SIGNALS = [
  'first-seen-measurement',
  'first-seen-machine',
  'first-seen-certificate',
  'first-seen-gpu',
  'first-seen-network',
  'first-seen-country',
  'first-seen-workstation',
  'other-network',
  'other-country',
  'outside-window',
  'scattered-reads',
  'overdue',
  'late',
] as const;
export type Signal = (typeof SIGNALS)[number];

/** Of an alert: the levels of Sigma. */
export const ALERT_LEVELS = ['informational', 'low', 'medium', 'high', 'critical'] as const;
export type AlertLevel = (typeof ALERT_LEVELS)[number];

export type RecordOutcome = 'permit' | 'deny' | 'success' | 'failure';

export type Actor =
  | { readonly kind: 'requester'; readonly subjectId?: SubjectId | undefined; readonly spkiDigest: SpkiDigest }
  | {
      readonly kind: 'administrator';
      /** Absent when a login was refused: nobody knows who it was. */
      readonly administratorId?: AdministratorId | undefined;
      readonly authenticatorId?: Loggable | undefined;
      readonly workstation: SpkiDigest;
    }
  | { readonly kind: 'system' };

/** What it was about. `requested` holds names as they were asked for: of a refused release, and when they led to nothing that has an id. */
export interface RecordObject {
  readonly modelId?: ModelId | undefined;
  readonly versionId?: VersionId | undefined;
  readonly versionDigest?: Digest | undefined;
  readonly class?: ClassName | undefined;
  readonly path?: ObjectPath | undefined;
  readonly requested?: { readonly model: Loggable; readonly version?: Loggable | undefined } | undefined;
}

export interface RecordAttestation {
  readonly kinds: readonly EvidenceKind[];
  readonly tier: Tier;
  readonly fresh: boolean;
  readonly keyBound: boolean;
  readonly hardware: boolean;
  /** Since schema v2. */
  readonly tee?: boolean | undefined;
  readonly evidenceDigest: Digest;
  readonly referenceValuesDigest: Digest;
  /** Ids of the reference values that matched. */
  readonly matched: readonly Loggable[];
  readonly facts: Readonly<Record<string, Loggable>>;
}

export interface RecordRelease {
  readonly releaseId: ReleaseId;
  /** The `release.begin` that this record ends. */
  readonly begin?: RecordId | undefined;
  readonly expiresAt?: Date | undefined;
  readonly outcome?: ReleaseOutcome | undefined;
  /** Plaintext bytes handed to the connection. */
  readonly bytes?: number | undefined;
  readonly completedObjects?: number | undefined;
  readonly abortedStreams?: number | undefined;
  /** Where the record's actor is not the requester. Since schema v2, like what follows. */
  readonly subjectId?: SubjectId | undefined;
  /** Millionths of the version's bytes that were sent. */
  readonly sharePpm?: number | undefined;
  /** Ranges below 1 MiB that were read, since the last record that said so. */
  readonly smallRanges?: number | undefined;
  /** Of the sites that the configuration declares: where the requester is. */
  readonly site?: Loggable | undefined;
}

/** Which rule fired, and what made it. */
export interface RecordAlert {
  /** `A01`. */
  readonly rule: Loggable;
  /** UUID of the Sigma document. */
  readonly ruleId: Loggable;
  readonly level: AlertLevel;
  /** How many leaves are named by `indexesDigest`, the first and the last of them. */
  readonly matches: number;
  readonly first: number;
  readonly last: number;
  /** SHA-256 of their indexes in decimal, rising, each followed by a line feed. */
  readonly indexesDigest: Digest;
  /** What the rule groups by, and what it is there. */
  readonly group: Readonly<Record<string, Loggable>>;
}

export type DocumentWord =
  | 'vault'
  | 'manifest'
  | 'promotion'
  | 'release'
  | 'policy-set'
  | 'reference-values'
  | 'trust-anchors'
  | 'administrator'
  | 'attester'
  | 'alias'
  | 'class-change'
  | 'key-ring'
  | 'lift'
  | 'recovery-key'
  | 'version-destruction'
  | 'alert-rules'
  | 'alert-delivery'
  | 'log-sinks'
  | 'decoy'
  | 'log-retention'
  | 'closed-log';

export interface RecordDocument {
  readonly kind: DocumentWord;
  readonly digest: Digest;
  /** Of a document that came in force: with `kind` and `item` it tells every later reader which one it may not go back behind. */
  readonly counter?: number | undefined;
  /** The model, alias or person it is about, where a namespace has several of the kind. */
  readonly item?: Loggable | undefined;
}

/** A period of the log that two people closed: all of it lies below `size` (docs/formats/log-closing.md). Since schema v2. */
export interface ClosedPeriod {
  readonly until: Date;
  readonly size: number;
  /** Of the tree of that size; SHA-256. */
  readonly root: Digest;
}

/** What became unreadable, and what could still open a copy of it. */
export interface RecordDestruction {
  /** Key versions that are destroyed in the HSM, and with them all that was wrapped under no other. */
  readonly keks: readonly KeyName[];
  /** Nothing: then no copy can be opened any more. */
  readonly remains: ReadonlyArray<{
    /**
     * A recovery wrap in a backup, for whoever has enough shares; a key that its provider could bring back until then; a key version in an HSM
     * that the vault left behind.
     */
    readonly what: 'recovery-wrap-in-backups' | 'cancellable-deletion' | 'former-hsm';
    readonly id: Loggable;
    readonly until?: Date | undefined;
  }>;
}

/** All that a process needs to put a stop in force again whose row is gone. */
export interface RecordStop {
  readonly stopId: StopId;
  readonly kind: StopKind;
  readonly scope: StopScope;
  /** The requester, model, version or key version; a namespace or the vault has none. */
  readonly target?: SubjectId | ModelId | VersionId | KeyName | undefined;
}

/** Personal data: only a salted commitment enters the leaf; what it commits to is kept apart and can be erased. */
export interface PersonalData {
  readonly administratorName?: string | undefined;
  readonly remoteAddress?: string | undefined;
}

/**
 * What a caller states. Identity of the vault, node and configuration, and the time, are added by the log.
 * No member takes a bare string, bytes or a SecretBytes: only branded ids and digests, words of closed sets, and `Loggable`.
 */
export interface RecordDraft {
  /** Given by the caller when another record or row must name this one; else made here. */
  readonly recordId?: RecordId | undefined;
  /** Absent: the record concerns the vault as a whole. */
  readonly namespace?: Namespace | undefined;
  readonly type: RecordType;
  readonly outcome: RecordOutcome;
  readonly reason?: ErrorCode | undefined;
  readonly detail?: Loggable | undefined;
  readonly actor: Actor;
  readonly request?: { readonly requestId: RequestId | Loggable } | undefined;
  readonly object?: RecordObject | undefined;
  readonly decision?: { readonly policySetDigest: Digest; readonly determining: readonly Loggable[] } | undefined;
  readonly attestation?: RecordAttestation | undefined;
  /** Of evidence that was refused, so that there is no `attestation`. */
  readonly evidenceDigest?: Digest | undefined;
  /** SHA-256 of the appraisal's result (docs/formats/ear.md), which is kept beside the log. Since schema v2. */
  readonly resultDigest?: Digest | undefined;
  readonly release?: RecordRelease | undefined;
  readonly operation?: { readonly requestId: RequestId; readonly kind: OperationKind; readonly operationDigest: Digest } | undefined;
  readonly document?: RecordDocument | undefined;
  readonly key?: { readonly id: KeyId; readonly version: number } | undefined;
  readonly stop?: RecordStop | undefined;
  readonly destruction?: RecordDestruction | undefined;
  readonly signals?: readonly Signal[] | undefined;
  readonly alert?: RecordAlert | undefined;
  readonly pruned?: PrunedBundles | undefined;
  readonly closed?: ClosedPeriod | undefined;
  readonly personal?: PersonalData | undefined;
}

/** ReleaseStore: challenges, releases, how many bytes each moved, and what is stopped. Suite: test/contract/release-store.ts. */
import type { ReleaseOutcome } from '../domain/access.ts';
import type { SpkiDigest } from '../domain/evidence.ts';
import type {
  ChallengeId,
  Digest,
  Incarnation,
  ModelId,
  Namespace,
  RecordId,
  ReleaseId,
  StopId,
  SubjectId,
  VersionId,
} from '../domain/ids.ts';
import type { KnownStop, Stop } from '../domain/stop.ts';
import type { Tx } from '../domain/unit-of-work.ts';

export interface ChallengeRow {
  readonly challengeId: ChallengeId;
  /** 32 bytes. */
  readonly nonce: Uint8Array;
  /** The TLS key it was issued to. */
  readonly spkiDigest: SpkiDigest;
  readonly expiresAt: Date;
}

export interface ReleaseRow {
  readonly releaseId: ReleaseId;
  readonly namespace: Namespace;
  readonly subjectId: SubjectId;
  readonly modelId: ModelId;
  readonly versionId: VersionId;
  readonly versionDigest: Digest;
  readonly spkiDigest: SpkiDigest;
  /** The Permit's record. */
  readonly recordId: RecordId;
  /** The signed `release` document: the row only points, so that writing rows releases nothing. */
  readonly documentDigest: Digest;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  /** Set once, when it ended. */
  readonly outcome?: ReleaseOutcome;
}

/** What one node has moved for one release. */
export interface ProgressRow {
  readonly node: Incarnation;
  /** Plaintext bytes handed to the connection. */
  readonly bytes: number;
  readonly completedObjects: number;
  readonly abortedStreams: number;
  readonly activeStreams: number;
  /** Ranges below 1 MiB. */
  readonly smallRanges: number;
}

/** The row alone lifts nothing: `liftDigest` points at the signed document that says so, if it does. */
export interface StopRow extends Stop {
  /** Of the requester or model, as it was called when it was stopped. */
  readonly name?: string;
  readonly liftDigest?: Digest;
}

/** What a release reserved when it began. */
export interface EgressRow {
  readonly releaseId: ReleaseId;
  readonly namespace: Namespace;
  readonly subjectId: SubjectId;
  readonly modelId: ModelId;
  /** Tells one machine from another. */
  readonly machine: Digest;
  readonly versionBytes: number;
  /** Absent: it is held to nothing. */
  readonly reservedBytes?: number;
}

/** What one requester took of one model. */
export interface EgressSum {
  /** Sent; of a release that is open, what it reserved or its version's bytes, if that is more. */
  readonly bytes: number;
  /** Releases that are open, or took the whole version. */
  readonly replicas: number;
  readonly machines: number;
  /** Whether the machine that was asked about is one of them. */
  readonly machineCounted: boolean;
}

export interface ReleaseStore {
  insertEgress(tx: Tx, row: EgressRow): Promise<void>;
  /** Of releases that are open or ended after `since`, but for `except`. */
  egress(
    tx: Tx,
    of: Pick<EgressRow, 'namespace' | 'subjectId' | 'modelId' | 'machine'>,
    since: Date,
    except?: ReleaseId,
  ): Promise<EgressSum>;
  /**
   * Claims up to `bytes` of what is left of the reservation and says how many; undefined for a release that is held to nothing. 0 for one without a
   * row: only that of an ended release is ever purged, so somebody took it away.
   */
  claimEgress(tx: Tx, releaseId: ReleaseId, bytes: number): Promise<number | undefined>;
  returnEgress(tx: Tx, releaseId: ReleaseId, bytes: number): Promise<void>;
  /** Forgets what ended before `before`: no budget looks that far back. */
  purgeEgress(tx: Tx, before: Date): Promise<void>;
  /** Keeps that it was seen now; true when it never was before. */
  noteSeen(tx: Tx, who: string, kind: string, digest: Digest): Promise<boolean>;
  /** True when another of the kind was seen of them since. */
  seenElse(tx: Tx, who: string, kind: string, digest: Digest, since: Date): Promise<boolean>;
  /** Releases without an outcome with so many small ranges that no record says yet, and how many; they are told from then on. */
  takeSmallRanges(tx: Tx, least: number): Promise<ReadonlyArray<{ readonly release: ReleaseRow; readonly smallRanges: number }>>;
  /** Releases without an outcome that expired before `before`, each once. */
  takeOverdue(tx: Tx, before: Date): Promise<readonly ReleaseRow[]>;
  /** The release ended and sent so many bytes, or what it claimed where that is more. Its version's bytes, and how many small ranges no record says yet. */
  settleEgress(
    tx: Tx,
    releaseId: ReleaseId,
    bytes: number,
  ): Promise<{ readonly versionBytes: number; readonly smallRanges: number } | undefined>;
  insertChallenge(tx: Tx, challenge: ChallengeRow): Promise<void>;
  /**
   * Spends a challenge: of any number of concurrent calls exactly one gets the row, the others `challenge_spent`.
   * `challenge_unknown` when it was never issued or was issued to another key, `challenge_expired` when the database's time is past it.
   */
  spendChallenge(
    tx: Tx,
    challengeId: ChallengeId,
    spkiDigest: SpkiDigest,
  ): Promise<ChallengeRow | 'challenge_unknown' | 'challenge_expired' | 'challenge_spent'>;
  /** Forgets challenges that expired before `before`. */
  purgeChallenges(tx: Tx, before: Date): Promise<void>;
  /** True for exactly one of any number of calls with this issuer and token id, in whichever namespace, until it is purged. */
  spendTokenId(tx: Tx, issuer: string, tokenId: string, expiresAt: Date): Promise<boolean>;
  /** Forgets token ids whose tokens expired before `before`. */
  purgeTokenIds(tx: Tx, before: Date): Promise<void>;
  insertRelease(tx: Tx, release: ReleaseRow): Promise<void>;
  release(tx: Tx, namespace: Namespace, releaseId: ReleaseId): Promise<ReleaseRow | undefined>;
  /** Moves the expiry under a new signed document, if `from` is still its document and it has not ended; false otherwise. */
  renewRelease(
    tx: Tx,
    releaseId: ReleaseId,
    from: Digest,
    to: { readonly documentDigest: Digest; readonly expiresAt: Date },
  ): Promise<boolean>;
  /** Replaces this node's figures for the release. */
  recordProgress(tx: Tx, releaseId: ReleaseId, progress: ProgressRow): Promise<void>;
  progress(tx: Tx, releaseId: ReleaseId): Promise<readonly ProgressRow[]>;
  /** Sets the outcome exactly once: false when it has one. */
  endRelease(tx: Tx, releaseId: ReleaseId, outcome: ReleaseOutcome): Promise<boolean>;
  /** Releases without an outcome that expired by the database's time or that one of `stops` stops (`stopOf`), oldest first. */
  endable(tx: Tx, stops: readonly KnownStop[], limit: number): Promise<readonly ReleaseRow[]>;
  /** The versions that releases without an outcome are of, each once. */
  openVersions(tx: Tx): Promise<ReadonlyArray<Pick<ReleaseRow, 'namespace' | 'versionId'>>>;
  /** Keeps a stop for ever; one of the same id is no change. In force when the transaction commits. */
  insertStop(tx: Tx, stop: StopRow): Promise<void>;
  /** Points the stop at the document that lifts it; false when there is no such stop. */
  pointLift(tx: Tx, stopId: StopId, liftDigest: Digest): Promise<boolean>;
  /** All there ever were, oldest first: few, and every node reads them each second. */
  stops(tx: Tx): Promise<readonly StopRow[]>;
  /** Says that `node` lives until `leaseUntil`. */
  renewNode(tx: Tx, node: Incarnation, leaseUntil: Date): Promise<void>;
  /** True when some node's does. */
  anyNodeLives(tx: Tx): Promise<boolean>;
  /** True when the node's lease reaches past the database's now. */
  nodeLives(tx: Tx, node: Incarnation): Promise<boolean>;
}

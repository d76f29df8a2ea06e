/** ReleaseStore: challenges, releases, how many bytes each moved, and who is blocked. Suite: test/contract/release-store.ts. */
import type { ReleaseOutcome } from '../domain/access.ts';
import type { SpkiDigest } from '../domain/evidence.ts';
import type { ChallengeId, Digest, Incarnation, ModelId, Namespace, RecordId, ReleaseId, SubjectId, VersionId } from '../domain/ids.ts';
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
}

export interface Block {
  readonly namespace: Namespace;
  readonly subjectId: SubjectId;
}

export interface ReleaseStore {
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
  insertRelease(tx: Tx, release: ReleaseRow): Promise<void>;
  release(tx: Tx, namespace: Namespace, releaseId: ReleaseId): Promise<ReleaseRow | undefined>;
  /** Replaces this node's figures for the release. */
  recordProgress(tx: Tx, releaseId: ReleaseId, progress: ProgressRow): Promise<void>;
  progress(tx: Tx, releaseId: ReleaseId): Promise<readonly ProgressRow[]>;
  /** Sets the outcome exactly once: false when it has one. */
  endRelease(tx: Tx, releaseId: ReleaseId, outcome: ReleaseOutcome): Promise<boolean>;
  /** Releases without an outcome that expired by the database's time or whose subject is blocked, oldest first. */
  endable(tx: Tx, limit: number): Promise<readonly ReleaseRow[]>;
  /** Blocks a subject; false when it was blocked already. In force when the transaction commits. */
  block(tx: Tx, block: Block): Promise<boolean>;
  /** All of them: few, and every node reads them each second. */
  blocks(tx: Tx): Promise<readonly Block[]>;
  /** Says that `node` lives until `leaseUntil`. */
  renewNode(tx: Tx, node: Incarnation, leaseUntil: Date): Promise<void>;
  /** True when the node's lease reaches past the database's now. */
  nodeLives(tx: Tx, node: Incarnation): Promise<boolean>;
}

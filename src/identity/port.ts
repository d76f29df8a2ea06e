/** Who the vault knows: administrators with their sessions, and enrolled requesters. Suites: test/contract/identity-store.ts, approval-store.ts. */
import type { SpkiDigest } from '../domain/evidence.ts';
import type { AdministratorId, Digest, Namespace, RequestId, SubjectId } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';

/** Points at the signed `administrator` document, which holds authenticators and workstations. */
export interface AdministratorRow {
  readonly administratorId: AdministratorId;
  readonly name: string;
  readonly documentDigest: Digest;
}

/** Points at the signed `attester` document. */
export interface SubjectRow {
  readonly subjectId: SubjectId;
  readonly namespace: Namespace;
  readonly name: string;
  readonly akName: string;
  readonly documentDigest: Digest;
}

export interface SessionRow {
  /** SHA-256 of the session token; the token itself is never stored. */
  readonly tokenDigest: Digest;
  readonly administratorId: AdministratorId;
  readonly authenticatorId: string;
  readonly workstation: SpkiDigest;
  readonly createdAt: Date;
  readonly lastSeenAt: Date;
}

export interface IdentityStore {
  /** `administrator_exists` when the name is taken. */
  insertAdministrator(tx: Tx, row: AdministratorRow): Promise<void>;
  administratorByName(tx: Tx, name: string): Promise<AdministratorRow | undefined>;
  administrator(tx: Tx, administratorId: AdministratorId): Promise<AdministratorRow | undefined>;
  administrators(tx: Tx): Promise<readonly AdministratorRow[]>;
  /** `subject_exists` when the name or the attestation key is taken in the namespace. */
  insertSubject(tx: Tx, row: SubjectRow): Promise<void>;
  subject(tx: Tx, namespace: Namespace, subjectId: SubjectId): Promise<SubjectRow | undefined>;
  subjectByName(tx: Tx, namespace: Namespace, name: string): Promise<SubjectRow | undefined>;
  subjectByAkName(tx: Tx, namespace: Namespace, akName: string): Promise<SubjectRow | undefined>;
  /** True exactly once per authenticator and time step, and never for a step at or before one already claimed (RFC 6238 section 5.2). */
  claimTimeStep(tx: Tx, authenticatorId: string, timeStep: number): Promise<boolean>;
  recordLoginFailure(tx: Tx, administrator: string, workstation: SpkiDigest): Promise<void>;
  /** Failures of this administrator from this workstation at or after `since`: a stranger elsewhere cannot lock anyone out. */
  loginFailures(tx: Tx, administrator: string, workstation: SpkiDigest, since: Date): Promise<number>;
  /** Takes back the newest failure: the attempt could not be checked at all. */
  withdrawLoginFailure(tx: Tx, administrator: string, workstation: SpkiDigest): Promise<void>;
  /** Forgets failures before `before`. */
  purgeLoginFailures(tx: Tx, before: Date): Promise<void>;
  /** After a right code: the failures before it no longer count. */
  forgetLoginFailures(tx: Tx, administrator: string, workstation: SpkiDigest): Promise<void>;
  insertSession(tx: Tx, session: SessionRow): Promise<void>;
  session(tx: Tx, tokenDigest: Digest): Promise<SessionRow | undefined>;
  /** Moves `lastSeenAt` to the database's now. */
  touchSession(tx: Tx, tokenDigest: Digest): Promise<void>;
  deleteSession(tx: Tx, tokenDigest: Digest): Promise<void>;
}

export type ApprovalState = 'pending' | 'executed' | 'cancelled';

/** An operation that waits: for a second person, or for a machine to show that it activated its credential. */
export interface ApprovalRow {
  readonly requestId: RequestId;
  readonly namespace: Namespace;
  readonly kind: 'promote' | 'policy-set' | 'reference-values' | 'trust-anchors' | 'enrol';
  /** Canonical JSON of the exact operation. */
  readonly operation: Uint8Array;
  /** SHA-256 of `operation`: what an approver consents to. */
  readonly operationDigest: Digest;
  /** The signed `request` document, which says all of this: the row only points. */
  readonly documentDigest: Digest;
  readonly requestedBy: AdministratorId;
  readonly authenticatorId: string;
  readonly workstation: SpkiDigest;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly state: ApprovalState;
}

export interface ApprovalStore {
  insert(tx: Tx, row: ApprovalRow): Promise<void>;
  request(tx: Tx, requestId: RequestId): Promise<ApprovalRow | undefined>;
  /** Pending and unexpired ones, oldest first, at most `limit`. */
  pending(tx: Tx, namespace: Namespace, limit: number): Promise<readonly ApprovalRow[]>;
  /** pending -> `state`, exactly once: false when it was settled before or has expired by the database's time. */
  settle(tx: Tx, requestId: RequestId, state: 'executed' | 'cancelled'): Promise<boolean>;
}

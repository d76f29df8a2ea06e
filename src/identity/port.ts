/** Who the vault knows: administrators with their sessions, and enrolled requesters. Suites: test/contract/identity-store.ts, approval-store.ts. */
import type { SpkiDigest } from '../domain/evidence.ts';
import type { AdministratorId, Digest, Namespace, RequestId, SubjectId } from '../domain/ids.ts';
import type { OperationKind } from '../domain/operation.ts';
import type { Tx } from '../domain/unit-of-work.ts';

/** A name and its id. Everything else is in the signed `administrator` document in force for that id. */
export interface AdministratorRow {
  readonly administratorId: AdministratorId;
  readonly name: string;
}

/** Points at the signed `attester` document. */
export interface SubjectRow {
  readonly subjectId: SubjectId;
  readonly namespace: Namespace;
  readonly name: string;
  /** What evidence finds it by: `attesterKeyOf` of domain/evidence.ts. */
  readonly attesterKey: string;
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
  /** When the last right code was given: at login, or at a step-up since. */
  readonly stepUpAt: Date;
  /** The one operation that code was given for, until it is spent. */
  readonly stepUpFor?: Digest | undefined;
}

/** An authenticator that was begun and not yet confirmed. It opens only together with everything else this row says. */
export interface ClaimRow {
  readonly administratorId: AdministratorId;
  readonly authenticatorId: string;
  /** Of the `administrator` document it was begun under. */
  readonly counter: number;
  readonly workstation: SpkiDigest;
  readonly wrappedSeed: Uint8Array;
  readonly begunAt: Date;
}

export interface IdentityStore {
  /** `administrator_exists` when the name is taken. */
  insertAdministrator(tx: Tx, row: AdministratorRow): Promise<void>;
  administratorByName(tx: Tx, name: string): Promise<AdministratorRow | undefined>;
  administrator(tx: Tx, administratorId: AdministratorId): Promise<AdministratorRow | undefined>;
  administrators(tx: Tx): Promise<readonly AdministratorRow[]>;
  /** The id takes the place of the name, and what was counted under the name is forgotten. The name is free again. */
  forgetName(tx: Tx, administratorId: AdministratorId): Promise<void>;
  /** `subject_exists` when the name or the attester key is taken in the namespace. */
  insertSubject(tx: Tx, row: SubjectRow): Promise<void>;
  subject(tx: Tx, namespace: Namespace, subjectId: SubjectId): Promise<SubjectRow | undefined>;
  subjectByName(tx: Tx, namespace: Namespace, name: string): Promise<SubjectRow | undefined>;
  /** In order of name, at most `limit`; `after` is the last name of the page before. */
  subjects(tx: Tx, namespace: Namespace, limit: number, after?: string): Promise<readonly SubjectRow[]>;
  subjectByAttesterKey(tx: Tx, namespace: Namespace, attesterKey: string): Promise<SubjectRow | undefined>;
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
  /** Ends every session of the person. */
  deleteSessionsOf(tx: Tx, administratorId: AdministratorId): Promise<void>;
  /** Forgets sessions made, or last used, at or before these times. */
  purgeSessions(tx: Tx, over: { readonly createdBefore: Date; readonly seenBefore: Date }): Promise<void>;
  /** A right code was given now: in general, or for one operation. False when there is no such session. */
  stepUp(tx: Tx, tokenDigest: Digest, operationDigest?: Digest): Promise<boolean>;
  /** True exactly once per step-up for this very operation, given after `since`. The code still counts as one in general. */
  spendStepUp(tx: Tx, tokenDigest: Digest, operationDigest: Digest, since: Date): Promise<boolean>;
  /** At most one per person: the newest replaces the one before. */
  putClaim(tx: Tx, claim: ClaimRow): Promise<void>;
  claim(tx: Tx, administratorId: AdministratorId): Promise<ClaimRow | undefined>;
  /** True when there was one. */
  deleteClaim(tx: Tx, administratorId: AdministratorId): Promise<boolean>;
}

export type ApprovalState = 'pending' | 'executed' | 'cancelled';

/** An operation that waits: for a second person, or for a machine to show that it activated its credential. */
export interface ApprovalRow {
  readonly requestId: RequestId;
  readonly namespace: Namespace;
  readonly kind: OperationKind;
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
  /** Forgets every request to let this person in, change or remove them: each spells their name. How many there were. */
  eraseAbout(tx: Tx, administratorId: AdministratorId): Promise<number>;
}

/**
 * An operation: something that one administrator asks for, that as many people as it takes consent to, and that then happens once.
 * To add one: its type here, its kind in domain/operation.ts, a file beside this one that exports its `OperationSpec`, a line in registry.ts.
 */
import type { Loggable, RecordDraft } from '../../audit/record.ts';
import type { AlertDelivery } from '../../documents/alert-delivery.ts';
import type { LogSink } from '../../documents/log-sinks.ts';
import type { SignedDocument } from '../../documents/port.ts';
import type { ClassName } from '../../domain/classes.ts';
import type { ReferenceValue, TrustAnchor } from '../../domain/evidence.ts';
import type { AdministratorId, Digest, KeyId, ModelId, Namespace, VaultId, VersionId } from '../../domain/ids.ts';
import type { Stop } from '../../domain/stop.ts';
import type { Tx } from '../../domain/unit-of-work.ts';
import type { AdminAction } from '../../policy/actions.ts';
import type { Vault } from '../vault.ts';

interface Of<K extends string> {
  readonly kind: K;
  readonly namespace: Namespace;
}
/** One that puts a document in force: `counter` is one more than that of the document in force when it was asked for. */
interface Next<K extends string> extends Of<K> {
  readonly counter: number;
}

export interface Promote extends Of<'promote'> {
  readonly modelId: ModelId;
  readonly versionId: VersionId;
  readonly versionDigest: Digest;
  readonly class: ClassName;
}
export interface SetPolicySet extends Next<'policy-set'> {
  readonly policies: Readonly<Record<string, string>>;
}
export interface SetReferenceValues extends Next<'reference-values'> {
  readonly values: readonly ReferenceValue[];
}
export interface SetTrustAnchors extends Next<'trust-anchors'> {
  readonly anchors: readonly TrustAnchor[];
}
/** The whole of what a person is to be; counter 1 enrols. `reset`: they set up a new authenticator on their own workstation. */
export interface SetAdministrator extends Next<'administrator'> {
  readonly administratorId: AdministratorId;
  readonly name: string;
  readonly state: 'active' | 'removed';
  readonly roles: readonly string[];
  readonly workstations: readonly Digest[];
  readonly authenticator: 'keep' | 'reset';
}
export interface SetAlias extends Next<'alias'> {
  readonly modelId: ModelId;
  readonly name: string;
  readonly versionId: VersionId;
  readonly versionDigest: Digest;
}
/** Of a model and all its versions, those to come included. */
export interface ChangeClass extends Next<'class-change'> {
  readonly modelId: ModelId;
  readonly class: ClassName;
}
/** A change of the key ring of the namespace; `counter` is the ring's. */
interface OfKey<K extends string> extends Next<K> {
  readonly keyId: KeyId;
  readonly version: number;
}
/** Makes the next version of the KEK, or the first of a namespace's own. It wraps nothing before a rotation to it. */
export interface CreateKey extends OfKey<'create-key'> {}
/** Makes version `version` of the KEK the active one. */
export interface RotateKey extends OfKey<'rotate-key'> {}
/** Says that somebody else may have the key: it wraps nothing more, and what it wrapped is rewrapped. */
export interface CompromiseKey extends OfKey<'compromise-key'> {}
/** Decides that a version of the KEK is destroyed, when nothing is wrapped under it any more and the waiting period of the ring is over. */
export interface DestroyKey extends OfKey<'destroy-key'> {}
/** Takes that decision back, while it waits. */
export interface KeepKey extends OfKey<'keep-key'> {}
export interface SetKeyPeriods extends Next<'key-periods'> {
  readonly cryptoperiodDays: number;
  readonly destructionWaitDays: number;
}
/** The public part of a recovery key that every DEK is wrapped for too, or the end of one. */
export interface SetRecoveryKey extends Next<'recovery-key'> {
  readonly keyId: string;
  /** base64. */
  readonly publicKey: string;
  readonly shares: number;
  readonly needed: number;
  readonly state: 'active' | 'withdrawn';
}
/** Makes one version unreadable for ever, after the waiting period; or takes that decision back. */
export interface DestroyVersion extends Next<'destroy-version'> {
  readonly modelId: ModelId;
  readonly versionId: VersionId;
  readonly versionDigest?: Digest;
  readonly state: 'decided' | 'kept';
}
/** The rules that watch the access log, of the vault as a whole: replaced whole. */
export interface SetAlertRules extends Next<'alert-rules'> {
  readonly rules: Readonly<Record<string, string>>;
}
/** Makes a model a decoy, or ends that. To requesters it is a model like any other. */
export interface SetDecoy extends Next<'decoy'> {
  readonly modelId: ModelId;
  readonly state: 'decoy' | 'ordinary';
}
/** Where alerts are sent. */
export interface SetAlertDelivery extends Next<'alert-delivery'>, AlertDelivery {}
/** Lifts a block, a suspension or a lockdown. Says what it stops, so that whoever consents sees it. */
export interface Lift extends Of<'lift'>, Pick<Stop, 'stopId' | 'scope' | 'target'> {}

/** Erases what tells who a removed administrator was. Says only the id: what is consented to is kept. */
export interface ErasePerson extends Next<'erase-person'> {
  readonly administratorId: AdministratorId;
}

/** Where records of the access log are sent, all of it. */
export interface SetLogSinks extends Next<'log-sinks'> {
  readonly sinks: readonly LogSink[];
}
/** How many days records of the access log and disclosures are kept; what is absent, for ever. */
export interface SetLogRetention extends Next<'log-retention'> {
  readonly recordDays?: number;
  readonly disclosureDays?: number;
  readonly requireArchive?: true;
}
/** Says that an archive has every record before `until`: the tree of `size` with this root. Whoever consents has verified it. */
export interface CloseLog extends Next<'close-log'> {
  /** ISO 8601, UTC, milliseconds. */
  readonly until: string;
  readonly size: number;
  readonly root: Digest;
}

export type Operation =
  | Promote
  | SetPolicySet
  | SetReferenceValues
  | SetTrustAnchors
  | SetAdministrator
  | SetAlias
  | ChangeClass
  | CreateKey
  | RotateKey
  | CompromiseKey
  | DestroyKey
  | KeepKey
  | SetKeyPeriods
  | SetRecoveryKey
  | DestroyVersion
  | Lift
  | ErasePerson
  | SetLogRetention
  | CloseLog
  | SetAlertRules
  | SetAlertDelivery
  | SetLogSinks
  | SetDecoy;

/** One person's consent to one exact operation. */
export interface Consent {
  readonly administratorId: AdministratorId;
  readonly authenticatorId: string;
  readonly workstation: Digest;
}

export type OperationPorts = Pick<
  Vault,
  'vaultId' | 'node' | 'stores' | 'catalogueKey' | 'accessLog' | 'keys' | 'kek' | 'deks' | 'revocations' | 'meter'
>;

/** What every signed document of an operation says besides what it is about. */
export interface Signing {
  readonly head: { readonly v: 1; readonly vaultId: VaultId; readonly createdAt: string; readonly namespace: Namespace };
  readonly consents: Consent[];
}

export interface OperationSpec<O extends Operation> {
  /** What the requester must be permitted. The approver needs `approve`. */
  readonly action: AdminAction;
  /** Throws unless the operation could be executed now. Asked when it is requested, and again inside the transaction that executes it. */
  check(operation: O, tx: Tx, vault: OperationPorts): Promise<void>;
  /** How many people must want it; two where it is not said. */
  consentsNeeded?(operation: O, tx: Tx, vault: OperationPorts): Promise<number>;
  /** Signs the document that carries it out. Outside any transaction: it may talk to the HSM. Doing it twice must do no harm. */
  sign(operation: O, signing: Signing, vault: OperationPorts): Promise<SignedDocument>;
  /** Puts the document in force. Throws, and so undoes the transaction, when someone was faster. What it resolves with is the record's `detail`. */
  apply(operation: O, document: SignedDocument, tx: Tx, vault: OperationPorts): Promise<void> | Promise<Loggable>;
  /** What its own record says. */
  record(operation: O, document: SignedDocument): Pick<RecordDraft, 'type' | 'object' | 'document' | 'key' | 'stop' | 'closed' | 'detail'>;
  /** Once it is durable. What fails here is tried again by the node's rounds; the operation stands. */
  afterwards?(operation: O, vault: OperationPorts): Promise<void>;
}

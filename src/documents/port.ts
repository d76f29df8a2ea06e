/** DocumentStore: signed, immutable documents by digest, and the slots that point at the ones in force. Suite: test/contract/document-store.ts. */
import type { Digest, Namespace } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';

export const DOCUMENT_KINDS = [
  'vault',
  'manifest',
  'promotion',
  'release',
  'request',
  'policy-set',
  'reference-values',
  'trust-anchors',
  'administrator',
  'attester',
  'alias',
  'class-change',
  'key-ring',
  'lift',
  'recovery-key',
  'version-destruction',
  'alert-rules',
  'alert-delivery',
  'log-sinks',
  'decoy',
  'log-retention',
  'closed-log',
] as const;
export type DocumentKind = (typeof DOCUMENT_KINDS)[number];

/** docs/formats/documents.md. The store keeps it; only documents/document.ts believes it. */
export interface SignedDocument {
  readonly kind: DocumentKind;
  /** SHA-256 of `bytes`. */
  readonly digest: Digest;
  /** Canonical JSON. */
  readonly bytes: Uint8Array;
  /** By the catalogue key (domain/signature.ts), over LP("weight-vault document v1", kind, bytes). */
  readonly signature: Uint8Array;
}

/** Documents of which one at a time is in force: one per namespace, or one for each item (an alias, a model, a person). */
export type SlotKind =
  | 'policy-set'
  | 'reference-values'
  | 'trust-anchors'
  | 'administrator'
  | 'alias'
  | 'class-change'
  | 'key-ring'
  | 'recovery-key'
  | 'version-destruction'
  | 'alert-rules'
  | 'alert-delivery'
  | 'log-sinks'
  | 'decoy'
  | 'log-retention'
  | 'closed-log';

/** Where the pointer to the one in force stands: the kind, and the item where a namespace has several. */
export type Slot = SlotKind | `${SlotKind}:${string}`;

export interface SlotPointer {
  readonly digest: Digest;
  /** Grows by one with every change, and stands in the document too. */
  readonly counter: number;
}

export interface DocumentStore {
  /** Keeps the document for ever. Putting the same digest again is no change. */
  put(tx: Tx, document: SignedDocument): Promise<void>;
  get(tx: Tx, digest: Digest): Promise<SignedDocument | undefined>;
  /** Compare-and-set: succeeds (true) only when the slot's counter is exactly `counter - 1`, an empty slot counting as 0. */
  point(tx: Tx, namespace: Namespace, slot: Slot, pointer: SlotPointer): Promise<boolean>;
  current(tx: Tx, namespace: Namespace, slot: Slot): Promise<SlotPointer | undefined>;
  /** Every slot of the kind that points at something, by namespace and item. */
  slots(tx: Tx, kind: SlotKind): Promise<ReadonlyArray<{ readonly namespace: Namespace; readonly item?: string }>>;
  /** Documents in order of digest, at most `limit` after `after`; of all kinds, or of one. */
  page(tx: Tx, limit: number, after?: Digest, kind?: DocumentKind): Promise<readonly SignedDocument[]>;
  /** Forgets the content of an `administrator` document, of a person who is erased, and every signature of it. No slot may point at it any more. */
  erase(tx: Tx, digest: Digest): Promise<void>;
  /** Replaces the signature, and keeps the one before it. What the signature is of never changes. */
  resign(tx: Tx, digest: Digest, signature: Uint8Array): Promise<void>;
}

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
] as const;
export type DocumentKind = (typeof DOCUMENT_KINDS)[number];

/** docs/formats/documents.md. The store keeps it; only documents/document.ts believes it. */
export interface SignedDocument {
  readonly kind: DocumentKind;
  /** SHA-256 of `bytes`. */
  readonly digest: Digest;
  /** Canonical JSON. */
  readonly bytes: Uint8Array;
  /** Ed25519 by the catalogue key over LP("weight-vault document v1", kind, bytes). */
  readonly signature: Uint8Array;
}

/** Documents of which only one is in force at a time, per namespace. */
export type Slot = 'policy-set' | 'reference-values' | 'trust-anchors';

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
}

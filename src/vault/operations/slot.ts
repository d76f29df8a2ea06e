/** What the operations share that put a document in force. */
import { loggable, type RecordDraft } from '../../audit/record.ts';
import type { SignedDocument, SlotKind } from '../../documents/port.ts';
import { VaultError } from '../../domain/errors.ts';
import type { Namespace } from '../../domain/ids.ts';
import type { Tx } from '../../domain/unit-of-work.ts';
import { inForce, slotOf } from '../documents.ts';
import type { OperationPorts } from './operation.ts';

export interface SlotTarget {
  readonly kind: SlotKind;
  readonly namespace: Namespace;
  readonly counter: number;
  readonly item?: string;
}

/** Throws `document_stale` unless `counter` is the next one. */
export async function assertNext({ kind, namespace, counter, item }: SlotTarget, tx: Tx, vault: OperationPorts): Promise<void> {
  const current = await inForce(kind, namespace, tx, vault, item);
  const found = current?.counter ?? 0;
  if (found + 1 !== counter) throw new VaultError('document_stale', `counter ${found} is in force`);
}

/** Points the slot at the document: compare-and-set, so of two at once one gets `document_stale`. */
export async function putInForce(
  { kind, namespace, counter, item }: SlotTarget,
  document: SignedDocument,
  tx: Tx,
  vault: OperationPorts,
): Promise<void> {
  const pointer = { digest: document.digest, counter };
  if (!(await vault.stores.documents.point(tx, namespace, slotOf(kind, item), pointer))) throw new VaultError('document_stale');
}

/** The record of a document that came in force. */
export function activated({ kind, counter, item }: SlotTarget, document: SignedDocument): Pick<RecordDraft, 'type' | 'document'> {
  return {
    type: 'document.activated',
    document: { kind, digest: document.digest, counter, ...(item !== undefined && { item: loggable(item, 128) }) },
  };
}

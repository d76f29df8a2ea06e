/**
 * A receipt: the record of one release and the proof that it is in the signed access log, in one file (docs/formats/receipt.md). It is a
 * `.tlog-proof` (C2SP tlog-proof) whose `extra` line carries the leaf, so any reader of that format opens it, and the vkey alone verifies it.
 */
import { VaultError } from '../domain/errors.ts';
import type { LeafIndex } from '../domain/ids.ts';
import type { LogCheckpoint } from './checkpoint.ts';
import { makeProof, parseProof, verifyProof } from './proof.ts';
import type { ReadTile } from './tiles.ts';
import type { VerifierKey } from './vkey.ts';

export interface OpenedReceipt {
  readonly index: LeafIndex;
  readonly checkpoint: LogCheckpoint;
  /** The leaf's bytes: proven to be in the log, exactly as they are. */
  readonly leaf: Uint8Array;
}

/** `log_incomplete` while `checkpoint` does not cover the record. */
export function makeReceipt(
  { index, leaf }: { readonly index: number; readonly leaf: Uint8Array },
  checkpoint: Uint8Array,
  key: VerifierKey,
  read: ReadTile,
): Promise<Uint8Array> {
  return makeProof(index, checkpoint, key, read, leaf);
}

/** Throws `proof_invalid`, `note_malformed` or `note_signature_invalid` for anything but the proof of the very leaf that it carries. */
export function openReceipt(receipt: Uint8Array, vkey: string): OpenedReceipt {
  const { extra: leaf } = parseProof(receipt);
  if (leaf === undefined) throw new VaultError('proof_invalid', 'a proof without the record it proves is no receipt');
  return { ...verifyProof(receipt, vkey, leaf), leaf };
}

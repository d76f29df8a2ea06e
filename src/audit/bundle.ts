/** Entry bundles (C2SP tlog-tiles "Log entries"): each leaf after its length as a big-endian uint16. No I/O. */
import { concat } from '../domain/bytes.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';

const LENGTH_BYTES = 2;

/** Throws `log_leaf_too_large` above DEFAULTS.logLeafBytes, long before the 65,535 bytes that the format could carry. */
export function encodeEntries(leaves: readonly Uint8Array[]): Uint8Array {
  return concat(...leaves.flatMap((leaf) => [lengthOf(leaf), leaf]));
}

export interface DecodedEntries {
  readonly entries: readonly Uint8Array[];
  /** False when the bytes end inside an entry or go on after the last. Then the last entry given is what the bytes still hold of it. */
  readonly wellFormed: boolean;
}

/** At most `width` entries. Never throws: a damaged bundle is something to report on, entry by entry. */
export function decodeEntries(bytes: Uint8Array, width: number): DecodedEntries {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: Uint8Array[] = [];
  let at = 0;
  while (entries.length < width && at + LENGTH_BYTES <= bytes.length) {
    const end = at + LENGTH_BYTES + view.getUint16(at);
    entries.push(bytes.subarray(at + LENGTH_BYTES, end));
    at = end;
  }
  return { entries, wellFormed: at === bytes.length && entries.length === width };
}

function lengthOf(leaf: Uint8Array): Uint8Array {
  if (leaf.length > DEFAULTS.logLeafBytes) throw new VaultError('log_leaf_too_large', `${leaf.length} bytes`);
  const out = new Uint8Array(LENGTH_BYTES);
  new DataView(out.buffer).setUint16(0, leaf.length);
  return out;
}

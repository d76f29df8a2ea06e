/** A record outside of the log: what every format carries, so that a copy can be compared with the tree. */
import { equalBytes, toHex, utf8 } from '../../domain/bytes.ts';
import { canonicalJson } from '../../domain/json.ts';
import { leafHash } from '../merkle.ts';
import { type Json, numberAt, saidBy } from '../said.ts';

export interface CopiedRecord {
  /** Of the log; names the key that signs its checkpoints. */
  readonly origin: string;
  readonly index: number;
  /** SHA-256(0x00 ‖ leaf), lower-case hex, as the copy states it. */
  readonly leafHash: string;
  readonly leaf: Uint8Array;
}

export function copyOf(origin: string, index: number, leaf: Uint8Array): CopiedRecord {
  return { origin, index, leafHash: toHex(leafHash(leaf)), leaf };
}

/**
 * The leaf as an object when its canonical form is the leaf byte by byte, so that nothing is lost on the way; undefined for what no vault wrote.
 * Such a leaf travels as base64.
 */
export function canonicalSaid(leaf: Uint8Array): Json | undefined {
  const said = saidBy(leaf);
  return said !== undefined && equalBytes(canonicalJson(said), leaf) ? said : undefined;
}

/** The leaf that an object out of a copy was. */
export function leafOf(said: Json): Uint8Array {
  return canonicalJson(said);
}

/** The leaf that a text out of a copy was: JSON in any spelling. */
export function leafOfText(text: string): Uint8Array {
  const said = saidBy(utf8(text));
  return said === undefined ? utf8(text) : canonicalJson(said);
}

export function indexAt(log: Json | undefined): number | undefined {
  const index = numberAt(log, 'index');
  return index !== undefined && index >= 0 ? index : undefined;
}

/** `.tlog-proof` files (C2SP tlog-proof): a checkpoint and the inclusion proof of one leaf, verified years later with nothing but the vkey. */
import { concat, toBase64 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import type { LeafIndex } from '../domain/ids.ts';
import { type LogCheckpoint, openCheckpoint } from './checkpoint.ts';
import { HASH_BYTES, leafHash, proveInclusion, verifyInclusion } from './merkle.ts';
import { type ReadTile, subtreeReader } from './tiles.ts';
import { parseVkey, tryBase64, type VerifierKey } from './vkey.ts';

const HEADER = 'c2sp.org/tlog-proof@v1';
/** A tree of 2^53 leaves has proofs of 53 hashes. */
const MAX_HASHES = 63;
const MAX_HEAD_BYTES = 65_536;

export interface ParsedProof {
  readonly index: LeafIndex;
  readonly hashes: readonly Uint8Array[];
  /** A signed note, not yet believed. */
  readonly checkpoint: Uint8Array;
  /** Not authenticated by anything. */
  readonly extra?: Uint8Array;
}

/**
 * The proof that leaf `index` is under `checkpoint`, one of our own. The key decides which log and what size it speaks of. `extra` rides
 * along unauthenticated, as the format has it; the whole proof is read up to it, so it is at most as long as a leaf.
 */
export async function makeProof(
  index: number,
  checkpoint: Uint8Array,
  key: VerifierKey,
  read: ReadTile,
  extra?: Uint8Array,
): Promise<Uint8Array> {
  const { size } = openCheckpoint(checkpoint, key);
  if (index >= size) throw new VaultError('log_incomplete', 'the checkpoint does not cover this record yet');
  const hashes = await proveInclusion(index, size, subtreeReader(size, read));
  const extraLines = extra === undefined ? [] : [`extra ${toBase64(extra)}`];
  const head = [HEADER, ...extraLines, `index ${index}`, ...hashes.map(toBase64), '', ''].join('\n');
  return concat(new TextEncoder().encode(head), checkpoint);
}

/** What the proof proves about `leaf`. Throws `proof_invalid`, `note_malformed` or `note_signature_invalid`. */
export function verifyProof(
  proof: Uint8Array,
  vkey: string,
  leaf: Uint8Array,
): { readonly index: LeafIndex; readonly checkpoint: LogCheckpoint } {
  const { index, hashes, checkpoint: note } = parseProof(proof);
  const checkpoint = openCheckpoint(note, parseVkey(vkey));
  if (!verifyInclusion(index, checkpoint.size, leafHash(leaf), hashes, checkpoint.root)) {
    throw new VaultError('proof_invalid', 'the leaf is not under this checkpoint at this index');
  }
  return { index, checkpoint };
}

export function parseProof(bytes: Uint8Array): ParsedProof {
  // The checkpoint has a blank line of its own, so the head ends at the first one.
  const split = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, MAX_HEAD_BYTES)).indexOf('\n\n');
  if (split < 0) throw invalid('no blank line before the checkpoint');
  const lines = decode(bytes.subarray(0, split)).split('\n');
  if (lines.shift() !== HEADER) throw invalid('not a tlog-proof of version 1');
  const extra = lines[0]?.startsWith('extra ') ? base64Line(lines.shift()?.slice('extra '.length)) : undefined;
  const index = indexLine(lines.shift());
  if (lines.length > MAX_HASHES) throw invalid('more hashes than any tree needs');
  return { index, hashes: lines.map(hashLine), checkpoint: bytes.slice(split + 2), ...(extra && { extra }) };
}

function indexLine(line = ''): LeafIndex {
  const digits = /^index (0|[1-9][0-9]{0,15})$/.exec(line)?.[1];
  if (digits === undefined || !Number.isSafeInteger(Number(digits))) throw invalid('no index line');
  return Number(digits) as LeafIndex; // just checked
}

function hashLine(line: string): Uint8Array {
  const hash = base64Line(line);
  if (hash.length !== HASH_BYTES) throw invalid('a hash is not 32 bytes');
  return hash;
}

function base64Line(line = ''): Uint8Array {
  const bytes = tryBase64(line);
  if (bytes === undefined) throw invalid('not canonical base64');
  return bytes;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new VaultError('proof_invalid', 'not UTF-8', { cause });
  }
}

function invalid(why: string): VaultError {
  return new VaultError('proof_invalid', why);
}

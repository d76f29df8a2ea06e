/** The request of C2SP tlog-witness: the size that the witness cosigned last, why the new checkpoint continues it, and the checkpoint. */
import { concat, toBase64 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { HASH_BYTES } from './merkle.ts';
import { tryBase64 } from './vkey.ts';

/** "The client MUST NOT send more than 63 consistency proof lines." */
const MAX_HASHES = 63;

export interface AddCheckpoint {
  readonly oldSize: number;
  readonly proof: readonly Uint8Array[];
  /** A signed note, not yet believed. */
  readonly checkpoint: Uint8Array;
}

export function formatAddCheckpoint({ oldSize, proof, checkpoint }: AddCheckpoint): Uint8Array {
  const head = [`old ${oldSize}`, ...proof.map(toBase64), '', ''].join('\n');
  return concat(new TextEncoder().encode(head), checkpoint);
}

/** `note_malformed` for anything but one exact spelling. */
export function parseAddCheckpoint(body: Uint8Array): AddCheckpoint {
  const split = Buffer.from(body.buffer, body.byteOffset, body.byteLength).indexOf('\n\n');
  if (split < 0) throw malformed('no blank line before the checkpoint');
  const [first = '', ...lines] = Buffer.from(body.subarray(0, split)).toString('latin1').split('\n');
  const oldSize = parseSize(/^old (.+)$/.exec(first)?.[1] ?? '');
  if (oldSize === undefined) throw malformed('no line with the old size');
  if (lines.length > MAX_HASHES) throw malformed('more hashes than any tree needs');
  return { oldSize, proof: lines.map(hashOf), checkpoint: body.slice(split + 2) };
}

/** A tree size in its one spelling. */
export function parseSize(text: string): number | undefined {
  const size = /^(?:0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(size) ? size : undefined;
}

function hashOf(line: string): Uint8Array {
  const hash = tryBase64(line);
  if (hash?.length !== HASH_BYTES) throw malformed('a line is not a hash in base64');
  return hash;
}

function malformed(why: string): VaultError {
  return new VaultError('note_malformed', why);
}

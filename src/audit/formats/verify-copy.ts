/** Compares records that left the log in some format with the tree that its key signed: a copy in a SIEM, a file, a mailbox. */
import { concat, equalBytes, toHex } from '../../domain/bytes.ts';
import { codeOf, type ErrorCode, VaultError } from '../../domain/errors.ts';
import { openCheckpoint } from '../checkpoint.ts';
import { HASH_BYTES, leafHash, treeRoot } from '../merkle.ts';
import { TILE_WIDTH, tileAt } from '../tile-path.ts';
import { readHashTile } from '../tiles.ts';
import type { LogSource } from '../verify.ts';
import { parseVkey } from '../vkey.ts';
import type { LogFormat } from './format.ts';

export interface CopyProblem {
  readonly code: ErrorCode;
  /** In the file; counts from 1. */
  readonly line: number;
  readonly leafIndex?: number;
  readonly detail: string;
}

export interface CopyReport {
  readonly ok: boolean;
  readonly origin: string;
  /** Of the tree. */
  readonly size: number;
  /** Lines that are records of this log, byte by byte. */
  readonly verified: number;
  /** Lines that came more than once, exactly as before: sinks deliver at least once. */
  readonly repeated: number;
  /** Indexes between the first and the last that are not in the file: information, because a copy may be of one namespace. */
  readonly absent: number;
  /** The first 1000. */
  readonly problems: readonly CopyProblem[];
}

const MAX_PROBLEMS = 1000;

/**
 * `tree` needs its checkpoint and the tiles of hashes, no entries. Throws `note_malformed`, `note_signature_invalid`, `log_root_mismatch` or
 * `log_incomplete` when the tree itself is not to be believed; what is wrong with a line is in the report.
 */
export async function verifyCopy(lines: AsyncIterable<string>, format: LogFormat, tree: LogSource, vkey: string): Promise<CopyReport> {
  const { origin, size, hashAt } = await believedTree(tree, vkey);
  const problems: CopyProblem[] = [];
  const seen = new Set<number>();
  let [line, repeated] = [0, 0];
  for await (const text of lines) {
    line++;
    const found = examine(text, { format, origin, size, hashAt });
    if ('code' in found) {
      if (problems.length < MAX_PROBLEMS) problems.push({ ...found, line });
    } else if (seen.has(found.index)) repeated++;
    else seen.add(found.index);
  }
  const indexes = [...seen];
  const [first, last] = [indexes.reduce((a, b) => Math.min(a, b), size), indexes.reduce((a, b) => Math.max(a, b), -1)];
  const span = Math.max(0, last - first + 1);
  return { ok: problems.length === 0, origin, size, verified: seen.size, repeated, absent: span - seen.size, problems };
}

interface Believed {
  readonly origin: string;
  readonly size: number;
  hashAt(index: number): Uint8Array;
}

function examine(
  text: string,
  { format, origin, size, hashAt }: Believed & { readonly format: LogFormat },
): { readonly index: number } | Omit<CopyProblem, 'line'> {
  const record = read(text, format);
  if (record === undefined) return { code: 'log_entry_mismatch', detail: 'no record in this format' };
  const { index: leafIndex } = record;
  if (record.origin !== origin) return { code: 'log_entry_mismatch', leafIndex, detail: 'it is of another log' };
  if (leafIndex >= size) return { code: 'log_incomplete', leafIndex, detail: `the tree has ${size} records` };
  if (!equalBytes(leafHash(record.leaf), hashAt(leafIndex)))
    return { code: 'log_entry_mismatch', leafIndex, detail: 'the record is not the one in the tree' };
  if (toHex(leafHash(record.leaf)) !== record.leafHash) return { code: 'log_entry_mismatch', leafIndex, detail: 'it states another hash' };
  return { index: leafIndex };
}

/** What a stranger wrote may be anything. */
function read(text: string, format: LogFormat): ReturnType<LogFormat['read']> {
  try {
    return format.read(text);
  } catch (error) {
    if (codeOf(error) === 'internal' || error instanceof VaultError) return undefined;
    throw error;
  }
}

/** All leaf hashes, once their tree has the signed root; 32 bytes a record. */
async function believedTree(tree: LogSource, vkey: string): Promise<Believed> {
  const key = parseVkey(vkey);
  const note = await tree.checkpoint();
  const { origin, size, root } = openCheckpoint(note, key);
  const roots: Uint8Array[] = [];
  const tiles: Uint8Array[] = [];
  for (let index = 0; ; index++) {
    const tile = tileAt(size, 0, index);
    if (tile === undefined) break;
    const hashes = await readHashTile(tile, (path) => tree.tile(path));
    tiles.push(concat(...hashes));
    roots.push(treeRoot(hashes));
  }
  // The tree over the roots of full tiles and of the last, partial one is the tree over all leaves (RFC 6962 section 2.1).
  if (!equalBytes(treeRoot(roots), root)) throw new VaultError('log_root_mismatch', 'the tiles do not have the root that was signed');
  const hashAt = (index: number) => {
    const at = (index % TILE_WIDTH) * HASH_BYTES;
    return tiles[Math.floor(index / TILE_WIDTH)]?.subarray(at, at + HASH_BYTES) ?? new Uint8Array(0);
  };
  return { origin, size, hashAt };
}

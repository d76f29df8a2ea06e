/**
 * Follows a log from outside: copies what is new, believes none of it before it is proven to continue what the mirror has, and changes nothing that
 * is there. What it wrote stays as it is, so it can lie on storage that cannot be rewritten (docs/operating.md).
 */
import { equalBytes, sha256Hex } from '../domain/bytes.ts';
import { codeOf, VaultError } from '../domain/errors.ts';
import type { TreeSize } from '../domain/ids.ts';
import { decodeEntries } from './bundle.ts';
import { type LogCheckpoint, openCheckpoint } from './checkpoint.ts';
import { EMPTY_ROOT, leafHash, proveConsistency, treeRoot, verifyConsistency } from './merkle.ts';
import { createPrunedLedger, type PrunedLedger, unexplainedBundle } from './pruned.ts';
import { edgeTiles, TILE_WIDTH, type TileName, tilePath } from './tile-path.ts';
import { readHashTile, rootFromTiles, subtreeReader } from './tiles.ts';
import type { LogSource } from './verify.ts';
import { parseVkey, type VerifierKey } from './vkey.ts';

export interface MirrorStore {
  has(path: string): Promise<boolean>;
  read(path: string): Promise<Uint8Array | undefined>;
  /** Durable when it resolves, true when it was not there yet. The same bytes again are no change; others are `log_conflict`. */
  add(path: string, bytes: Uint8Array): Promise<boolean>;
  /** `checkpoint`, the one file that is replaced: whole, whenever the machine stops. */
  point(checkpoint: Uint8Array): Promise<void>;
}

export interface Mirrored {
  readonly size: TreeSize;
  /** What the mirror had before. */
  readonly previous: number;
  /** Files written besides the checkpoint. */
  readonly added: number;
}

interface Copying {
  readonly source: LogSource;
  readonly store: MirrorStore;
  readonly entries: boolean;
  /** Of this many records the mirror has everything, verified. */
  readonly settled: number;
  readonly pruned: PrunedLedger;
  added: number;
}

type Hashes = readonly Uint8Array[];
type HashTile = TileName & { readonly level: number };

/**
 * Tiles from the root down, each compared with the hash above it before it is kept; every record with its leaf hash. The checkpoint comes last:
 * interrupted, the next call goes on, and reads again only what it did not keep. `log_rolled_back` when the log is shorter than the mirror,
 * `log_conflict` when it does not continue it, `note_signature_invalid`, `log_tile_mismatch`, `log_entry_mismatch`, `log_incomplete`.
 * Without `entries`: hashes only, which prove records that are kept elsewhere. `before`: the log's key until a recovery or a rotation replaced it,
 * which the mirror's own checkpoint may be of.
 */
export async function mirrorLog(
  source: LogSource,
  store: MirrorStore,
  vkey: string,
  { entries = true, before }: { readonly entries?: boolean; readonly before?: string | undefined } = {},
): Promise<Mirrored> {
  const key = parseVkey(vkey);
  const note = await source.checkpoint();
  const next = openCheckpoint(note, key);
  const kept = await store.read('checkpoint');
  const previous = kept === undefined ? undefined : openKept(kept, key, before);
  const edges = await readEdges(next, source);
  await assertContinues(previous, next, source);
  const copying: Copying = { source, store, entries, settled: previous?.size ?? 0, pruned: createPrunedLedger(), added: 0 };
  for (const edge of edges) await keepTile(edge.tile, edge.hashes, copying);
  const [lost] = copying.pruned.unexplained();
  if (lost !== undefined) throw new VaultError('log_incomplete', unexplainedBundle(lost));
  await store.add(`checkpoints/${next.size}-${sha256Hex(note).slice(0, 16)}`, note);
  await store.point(note);
  return { size: next.size, previous: previous?.size ?? 0, added: copying.added };
}

function openKept(note: Uint8Array, key: VerifierKey, before: string | undefined): LogCheckpoint {
  try {
    return openCheckpoint(note, key);
  } catch (error) {
    if (before === undefined || codeOf(error) !== 'note_signature_invalid') throw error;
    return openCheckpoint(note, parseVkey(before));
  }
}

async function assertContinues(previous: LogCheckpoint | undefined, next: LogCheckpoint, source: LogSource): Promise<void> {
  if (previous === undefined || previous.size === 0) return;
  const { size, root } = previous;
  if (next.size < size) throw new VaultError('log_rolled_back', `the log has ${next.size} records, this mirror ${size}`);
  const proof = await proveConsistency(size, next.size, subtreeReader(next.size, source.tile));
  if (!verifyConsistency(size, next.size, root, next.root, proof)) {
    throw new VaultError('log_conflict', `the log does not continue this mirror at ${size} records, or a tile of it is damaged`);
  }
}

/** The partial tiles at the right edge, which together have the root. */
async function readEdges({ size, root }: LogCheckpoint, source: LogSource) {
  const edges = edgeTiles(size) as readonly HashTile[]; // it names no bundles
  const read = await Promise.all(edges.map(async (tile) => ({ tile, hashes: await readHashTile(tile, source.tile) })));
  const found = new Map(read.map(({ tile, hashes }) => [tilePath(tile), Buffer.concat([...hashes])]));
  const rootFound = size === 0 ? EMPTY_ROOT : await rootFromTiles(size, size, async (path) => found.get(path));
  if (!equalBytes(rootFound, root)) throw new VaultError('log_root_mismatch', 'the tiles do not have the root of the checkpoint');
  return read;
}

/** Keeps a tile whose hashes are believed, after everything below it: a full tile that is there has all below it there too. */
async function keepTile(tile: HashTile, hashes: Hashes, copying: Copying): Promise<void> {
  if (tile.level === 0) await keepEntries(tile, hashes, copying);
  else for (const [at, hash] of hashes.entries()) await descend(childOf(tile, at), hash, copying);
  await keep(tilePath(tile), Buffer.concat([...hashes]), copying);
}

async function descend(tile: HashTile, root: Uint8Array, copying: Copying): Promise<void> {
  const { source, store, settled } = copying;
  const path = tilePath(tile);
  const kept = await store.has(path);
  if (kept && (tile.index + 1) * TILE_WIDTH ** (tile.level + 1) <= settled) return;
  const hashes = await readHashTile(tile, kept ? store.read : source.tile);
  if (!equalBytes(treeRoot(hashes), root)) {
    throw new VaultError('log_tile_mismatch', `${path} of ${kept ? 'this mirror' : 'the log'} is not the tile of the signed tree`);
  }
  await keepTile(tile, hashes, copying); // what an interrupted run kept is read again: it may hold the record of a pruning
}

async function keepEntries({ index, width }: HashTile, hashes: Hashes, copying: Copying): Promise<void> {
  if (!copying.entries) return;
  const path = tilePath({ level: 'entries', index, width });
  const bytes = (await copying.store.read(path)) ?? (await copying.source.tile(path));
  if (bytes === undefined && width === TILE_WIDTH) return copying.pruned.missing(index);
  if (bytes === undefined) throw new VaultError('log_incomplete', `${path} is missing`);
  const { entries, wellFormed } = decodeEntries(bytes, width);
  const wrong = entries.findIndex((entry, at) => !equalBytes(leafHash(entry), hashes[at] ?? new Uint8Array(0)));
  if (wrong >= 0 || !wellFormed) {
    throw new VaultError('log_entry_mismatch', `record ${index * TILE_WIDTH + Math.max(wrong, 0)} in ${path} is not the one in the tree`);
  }
  for (const entry of entries) copying.pruned.visit(entry);
  await keep(path, bytes, copying);
}

async function keep(path: string, bytes: Uint8Array, copying: Copying): Promise<void> {
  if (await copying.store.add(path, bytes)) copying.added++;
}

function childOf({ level, index }: HashTile, at: number): HashTile {
  return { level: level - 1, index: index * TILE_WIDTH + at, width: TILE_WIDTH };
}

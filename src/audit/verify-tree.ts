/**
 * Walks a tree from the signed root down. A tile is believed when its hash is the one above it; when it is not, what lies below it
 * decides whether the tile or something deeper was changed. So the report names the byte that changed, not everything above it.
 */
import { equalBytes } from '../domain/bytes.ts';
import { decodeEntries } from './bundle.ts';
import type { LogCheckpoint } from './checkpoint.ts';
import { parseLeaf } from './leaf.ts';
import { completeSubtrees, foldRight, leafHash, treeRoot } from './merkle.ts';
import { edgeTiles, TILE_WIDTH, tilePath } from './tile-path.ts';
import { type ReadTile, splitHashes } from './tiles.ts';
import type { LogProblem } from './verify.ts';

type Report = (problem: LogProblem) => void;
type Hashes = readonly Uint8Array[];
interface HashTile {
  readonly level: number;
  readonly index: number;
  readonly width: number;
}

export interface WalkOptions {
  /** Told of each full bundle that is not there, which is a problem where this is not given. */
  readonly missing?: (bundle: number) => void;
  /** Nothing is looked at that holds only records below this index. */
  readonly from?: number;
}

interface Walk extends WalkOptions {
  readonly read: ReadTile;
  readonly report: Report;
  readonly visit: (leaf: Uint8Array) => void;
}

/** `visit` gets every record that could be read, in order. */
export async function verifyTree(
  checkpoint: LogCheckpoint,
  read: ReadTile,
  report: Report,
  visit: (leaf: Uint8Array) => void,
  options: WalkOptions = {},
): Promise<void> {
  const walk: Walk = { ...options, read, report, visit };
  const edges = edgeTiles(checkpoint.size) as readonly HashTile[]; // it names no bundles
  const believed = await settleEdges(walk, checkpoint, edges);
  for (const [at, edge] of edges.entries()) await descend(walk, edge, believed[at]);
}

/**
 * The partial tiles at the right edge have no tile above them: all of them together have the root. When they do not, those that are
 * wrong are found by putting in their place what lies below them, fewest first.
 */
async function settleEdges(walk: Walk, { root }: LogCheckpoint, edges: readonly HashTile[]): Promise<ReadonlyArray<Hashes | undefined>> {
  const stored = await Promise.all(edges.map((edge) => readStored(walk, edge)));
  if (hasRoot(stored, root)) return stored;
  const below = await Promise.all(edges.map((edge) => fromBelow(walk, edge)));
  for (const replaced of subsets(edges.length)) {
    const chosen = stored.map((hashes, at) => (replaced.includes(at) ? below[at] : hashes));
    if (!hasRoot(chosen, root)) continue;
    for (const at of replaced) reportTile(walk, edges[at], stored[at]);
    return chosen;
  }
  for (const [at, edge] of edges.entries()) if (stored[at] === undefined) reportTile(walk, edge, undefined);
  walk.report({ code: 'log_root_mismatch', detail: 'neither the tiles nor the records have the root of the checkpoint' });
  return stored.map((hashes, at) => hashes ?? below[at]);
}

/** Left to right, so that records are visited in order. Below a tile that nobody has there is nothing to say. */
async function descend(walk: Walk, tile: HashTile, hashes: Hashes | undefined): Promise<void> {
  if (hashes === undefined || endOf(tile) <= (walk.from ?? 0)) return;
  if (tile.level === 0) return checkEntries(walk, tile, hashes);
  for (const child of childrenOf(tile)) {
    if (endOf(child) <= (walk.from ?? 0)) continue;
    const believed = await settle(walk, child, hashes[child.index % TILE_WIDTH]);
    await descend(walk, child, believed);
  }
}

/** The hashes to believe of a full tile whose root is known. */
async function settle(walk: Walk, tile: HashTile, root: Uint8Array | undefined): Promise<Hashes | undefined> {
  const fits = (hashes: Hashes | undefined) => hashes !== undefined && root !== undefined && equalBytes(treeRoot(hashes), root);
  const stored = await readStored(walk, tile);
  if (fits(stored)) return stored;
  reportTile(walk, tile, stored);
  const below = await fromBelow(walk, tile);
  return fits(below) ? below : (stored ?? below);
}

async function checkEntries(walk: Walk, tile: HashTile, hashes: Hashes): Promise<void> {
  const path = entriesPath(tile);
  const bytes = await walk.read(path);
  const first = tile.index * TILE_WIDTH;
  if (bytes === undefined && tile.width === TILE_WIDTH && walk.missing !== undefined) return walk.missing(tile.index);
  if (bytes === undefined) return walk.report({ code: 'log_incomplete', leafIndex: first, detail: `${path} is missing` });
  checkBundle(bytes, hashes, { path, first }, walk);
}

/** The records of one bundle against hashes that are believed: one problem for each that is not the one in the tree. */
export function checkBundle(
  bytes: Uint8Array,
  hashes: Hashes,
  { path, first }: { readonly path: string; readonly first: number },
  { report, visit }: Pick<Walk, 'report' | 'visit'>,
): void {
  const width = hashes.length;
  const { entries, wellFormed } = decodeEntries(bytes, width);
  for (const [at, entry] of entries.entries()) {
    if (equalBytes(leafHash(entry), hashes[at] ?? new Uint8Array(0))) {
      visit(entry);
      continue;
    }
    report(wrongEntry(first + at, entry, `the record in ${path} does not have the hash in the tree`));
    if (!wellFormed) return; // where the next record begins is not known any more
  }
  if (entries.length < width) report({ code: 'log_incomplete', leafIndex: first + entries.length, detail: `${path} ends early` });
  else if (!wellFormed)
    report({ code: 'log_entry_mismatch', leafIndex: first + width - 1, detail: `${path} goes on after its last record` });
}

function wrongEntry(leafIndex: number, entry: Uint8Array, detail: string): LogProblem {
  const { recordId } = parseLeaf(entry);
  return { code: 'log_entry_mismatch', leafIndex, ...(recordId !== undefined && { recordId }), detail };
}

function reportTile({ report }: Walk, tile: HashTile | undefined, stored: Hashes | undefined): void {
  if (tile === undefined) return;
  const leafIndex = tile.index * TILE_WIDTH ** (tile.level + 1);
  if (stored === undefined) report({ code: 'log_incomplete', leafIndex, detail: `${tilePath(tile)} is missing or of another length` });
  else report({ code: 'log_tile_mismatch', leafIndex, detail: `${tilePath(tile)} is not the tile of this tree` });
}

/** undefined when the tile is missing or not exactly as wide as it must be. */
async function readStored({ read }: Walk, tile: HashTile): Promise<Hashes | undefined> {
  const bytes = await read(tilePath(tile));
  const hashes = bytes && splitHashes(bytes);
  return hashes?.length === tile.width ? hashes : undefined;
}

/** The same tile made from what is stored one level below: from the records, or from the roots of the tiles. */
async function fromBelow(walk: Walk, tile: HashTile): Promise<Hashes | undefined> {
  if (tile.level === 0) {
    const { entries, wellFormed } = decodeEntries((await walk.read(entriesPath(tile))) ?? new Uint8Array(0), tile.width);
    return wellFormed ? entries.map(leafHash) : undefined;
  }
  const roots: Uint8Array[] = [];
  for (const child of childrenOf(tile)) {
    const hashes = await readStored(walk, child);
    if (hashes === undefined) return undefined;
    roots.push(treeRoot(hashes));
  }
  return roots;
}

function childrenOf({ level, index, width }: HashTile): readonly HashTile[] {
  return Array.from({ length: width }, (_, at) => ({ level: level - 1, index: index * TILE_WIDTH + at, width: TILE_WIDTH }));
}

/** Index behind the last record that it covers. */
function endOf({ level, index, width }: HashTile): number {
  return (index * TILE_WIDTH + width) * TILE_WIDTH ** level;
}

function entriesPath({ index, width }: HashTile): string {
  return tilePath({ level: 'entries', index, width });
}

function hasRoot(edges: ReadonlyArray<Hashes | undefined>, root: Uint8Array): boolean {
  const subtrees: Uint8Array[] = [];
  for (const hashes of edges) {
    if (hashes === undefined) return false;
    for (const { level, index } of completeSubtrees({ start: 0, end: hashes.length })) {
      subtrees.push(treeRoot(hashes.slice(index * 2 ** level, (index + 1) * 2 ** level)));
    }
  }
  return equalBytes(foldRight(subtrees), root);
}

/** Non-empty sets of positions below `count` (at most seven), small sets first. */
function subsets(count: number): readonly (readonly number[])[] {
  const all = Array.from({ length: 2 ** count - 1 }, (_, mask) =>
    Array.from({ length: count }, (__, at) => at).filter((at) => ((mask + 1) >> at) & 1),
  );
  return all.sort((a, b) => a.length - b.length);
}

/** Tiles of a growing tree: made from the batch and the right edge only, never from the whole log. */
import { concat } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { decodeEntries, encodeEntries } from './bundle.ts';
import { HASH_BYTES, leafHash, type Range, type ReadSubtree, rangeRoot, treeRoot } from './merkle.ts';
import type { TileRow } from './port.ts';
import { edgeTile, hashesAt, TILE_WIDTH, type TileName, tileAt, tilePath } from './tile-path.ts';

export type ReadTile = (path: string) => Promise<Uint8Array | undefined>;

/**
 * The tiles and bundles that are new or wider when a tree of `size` gets `leaves` after its last. Reads only the partial
 * tiles of the old tree: one per level. Throws `log_incomplete` or `log_tile_mismatch` when one of them is missing or has
 * another width, `log_leaf_too_large` before anything is made.
 */
export async function growTiles(size: number, leaves: readonly Uint8Array[], read: ReadTile): Promise<readonly TileRow[]> {
  if (leaves.length === 0) return [];
  const rows = [...(await growEntries(size, leaves, read))];
  let hashes = leaves.map(leafHash);
  for (let level = 0; hashes.length > 0; level++) {
    const edge = edgeTile(size, level);
    const before = edge === undefined ? [] : await readHashTile(edge, read);
    const tiles = chunks([...before, ...hashes]);
    const first = Math.floor(hashesAt(size, level) / TILE_WIDTH);
    for (const [at, tile] of tiles.entries()) {
      rows.push({ path: tilePath({ level, index: first + at, width: tile.length }), bytes: concat(...tile) });
    }
    hashes = tiles.filter((tile) => tile.length === TILE_WIDTH).map(treeRoot);
  }
  return rows;
}

/** The hashes of one tile of exactly the width its name states. */
export async function readHashTile(name: TileName, read: ReadTile): Promise<readonly Uint8Array[]> {
  const path = tilePath(name);
  const hashes = splitHashes(await readPresent(path, read));
  if (hashes?.length !== name.width) throw new VaultError('log_tile_mismatch', `${path} does not hold ${name.width} hashes`);
  return hashes;
}

export function splitHashes(bytes: Uint8Array): readonly Uint8Array[] | undefined {
  if (bytes.length % HASH_BYTES !== 0) return undefined;
  return Array.from({ length: bytes.length / HASH_BYTES }, (_, at) => bytes.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES));
}

/** Reads complete subtrees out of the tiles of a tree of `size`: what roots and proofs of it, and of every smaller tree, are made from. */
export function subtreeReader(size: number, read: ReadTile): ReadSubtree {
  const tiles = new Map<string, Promise<readonly Uint8Array[]>>(); // a proof asks the same few tiles again and again
  return async (subtree) => {
    const level = Math.floor(subtree.level / 8); // a tile is eight tree levels high
    const count = 2 ** (subtree.level % 8);
    const first = subtree.index * count;
    const name = tileAt(size, level, Math.floor(first / TILE_WIDTH));
    if (name === undefined) throw new RangeError(`no subtree ${subtree.index} at level ${subtree.level} in a tree of ${size}`);
    const path = tilePath(name);
    const hashes = tiles.get(path) ?? readHashTile(name, read);
    tiles.set(path, hashes);
    return treeRoot((await hashes).slice(first % TILE_WIDTH, (first % TILE_WIDTH) + count));
  };
}

/** Root of the first `size` leaves, out of the tiles of a tree of `treeSize` (at least `size`). */
export function rootFromTiles(size: number, treeSize: number, read: ReadTile): Promise<Uint8Array> {
  const range: Range = { start: 0, end: size };
  return rangeRoot(range, subtreeReader(treeSize, read));
}

async function growEntries(size: number, leaves: readonly Uint8Array[], read: ReadTile): Promise<readonly TileRow[]> {
  const edge = edgeTile(size, 'entries');
  const before = edge === undefined ? [] : await readEntries(edge, read);
  const first = Math.floor(size / TILE_WIDTH);
  return chunks([...before, ...leaves]).map((bundle, at) => ({
    path: tilePath({ level: 'entries', index: first + at, width: bundle.length }),
    bytes: encodeEntries(bundle),
  }));
}

async function readEntries(name: TileName, read: ReadTile): Promise<readonly Uint8Array[]> {
  const path = tilePath(name);
  const { entries, wellFormed } = decodeEntries(await readPresent(path, read), name.width);
  if (!wellFormed) throw new VaultError('log_entry_mismatch', `${path} does not hold ${name.width} entries`);
  return entries;
}

async function readPresent(path: string, read: ReadTile): Promise<Uint8Array> {
  const bytes = await read(path);
  if (bytes === undefined) throw new VaultError('log_incomplete', `${path} is missing`);
  return bytes;
}

function chunks<T>(items: readonly T[]): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / TILE_WIDTH) }, (_, at) => items.slice(at * TILE_WIDTH, (at + 1) * TILE_WIDTH));
}

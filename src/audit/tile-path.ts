/** Names of tiles (C2SP tlog-tiles "Merkle Tree" and "Log entries") and which of them a tree of a given size has. No I/O. */
import { VaultError } from '../domain/errors.ts';

/** Hashes in a full tile, entries in a full bundle. */
export const TILE_WIDTH = 256;

/** `level` 0 holds leaf hashes; `entries` the leaves themselves. */
export interface TileName {
  readonly level: number | 'entries';
  readonly index: number;
  /** 1 to 256; below 256 the tile is partial. */
  readonly width: number;
}

const PATH = /^tile\/(entries|[0-9]|[1-5][0-9]|6[0-3])\/((?:x[0-9]{3}\/)*[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/;

/** `tile/0/x001/x234/067.p/7` is level 0, index 1234067, width 7. */
export function tilePath({ level, index, width }: TileName): string {
  const digits = String(index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/[0-9]{3}/g) ?? [];
  const path = groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join('/');
  return `tile/${level}/${path}${width === TILE_WIDTH ? '' : `.p/${width}`}`;
}

/** Accepts exactly what `tilePath` writes: one tile has one name. Throws `request_invalid`. */
export function parseTilePath(path: string): TileName {
  const [, level = '', groups = '', width] = PATH.exec(path) ?? [];
  const name: TileName = {
    level: level === 'entries' ? level : Number(level),
    index: Number(groups.replaceAll(/[x/]/g, '')),
    width: width === undefined ? TILE_WIDTH : Number(width),
  };
  if (!Number.isSafeInteger(name.index) || tilePath(name) !== path) throw new VaultError('request_invalid', 'not the path of a tile');
  return name;
}

/** Complete hashes that a tree of `size` has at tile level `level`: floor(size / 256^level). */
export function hashesAt(size: number, level: number | 'entries'): number {
  return level === 'entries' ? size : Math.floor(size / TILE_WIDTH ** level);
}

/** The tile that holds hash `index * 256` and the ones after it in a tree of `size`; undefined when it would be empty. */
export function tileAt(size: number, level: number | 'entries', index: number): TileName | undefined {
  const width = Math.min(TILE_WIDTH, hashesAt(size, level) - index * TILE_WIDTH);
  return width > 0 ? { level, index, width } : undefined;
}

/** The partial tile at the right edge of a level, when the level has one. */
export function edgeTile(size: number, level: number | 'entries'): TileName | undefined {
  return tileAt(size, level, Math.floor(hashesAt(size, level) / TILE_WIDTH));
}

/** The partial hash tiles of a tree, highest level first: together they determine its root. At most seven. */
export function edgeTiles(size: number): readonly TileName[] {
  const out: TileName[] = [];
  for (let level = 0; hashesAt(size, level) > 0; level++) {
    const tile = edgeTile(size, level);
    if (tile !== undefined) out.unshift(tile);
  }
  return out;
}

/** Every tile and entry bundle of a tree of `size`, entries first. */
export function* allTiles(size: number): Generator<TileName> {
  yield* tilesOf(size, 'entries');
  for (let level = 0; hashesAt(size, level) > 0; level++) yield* tilesOf(size, level);
}

function* tilesOf(size: number, level: number | 'entries'): Generator<TileName> {
  for (let index = 0; ; index++) {
    const tile = tileAt(size, level, index);
    if (tile === undefined) return;
    yield tile;
  }
}

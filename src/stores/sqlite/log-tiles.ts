import type { TileRow } from '../../audit/port.ts';
import { bytesOf, type SqliteTx } from './transaction.ts';

/** What migrations.ts drops: every width that a tile ever had was kept beside the tile. */
export const SCHEMA_WIDEST_TILES = `
DELETE FROM log_tiles WHERE instr(path, '.p/') > 0
AND EXISTS (SELECT 1 FROM log_tiles AS whole WHERE whole.path = substr(log_tiles.path, 1, instr(log_tiles.path, '.p/') - 1));
`;

const HASH_BYTES = 32;
const LENGTH_BYTES = 2;

/**
 * Of each tile the widest is kept: it begins with every narrower one. A bundle that grows record by record would else be stored 255 times before it is
 * full, 128 times its size.
 */
export function putTiles(tx: SqliteTx, tiles: readonly TileRow[]): void {
  for (const { path } of tiles) tx.run('DELETE FROM log_tiles WHERE path >= :from AND path < :to', partsOf(baseOf(path)));
  for (const tile of tiles) tx.run(PUT, { ...tile });
}

const PUT = 'INSERT INTO log_tiles (path, bytes) VALUES (:path, :bytes) ON CONFLICT (path) DO UPDATE SET bytes = excluded.bytes';

export function findTile(tx: SqliteTx, path: string): Uint8Array | undefined {
  const row = tx.get<Pick<TileRow, 'bytes'>>('SELECT bytes FROM log_tiles WHERE path = :path', { path });
  if (row !== undefined) return bytesOf(row.bytes);
  const base = baseOf(path);
  const width = Number(path.slice(`${base}.p/`.length));
  if (base === path || !Number.isSafeInteger(width)) return undefined;
  const wider = tx
    .all<TileRow>('SELECT path, bytes FROM log_tiles WHERE path = :base OR (path >= :from AND path < :to)', { base, ...partsOf(base) })
    .find((tile) => tile.path === base || Number(tile.path.slice(`${base}.p/`.length)) > width);
  return wider && bytesOf(beginningOf(wider, width));
}

function beginningOf({ path, bytes }: TileRow, width: number): Uint8Array {
  if (!path.startsWith('tile/entries/')) return bytes.subarray(0, width * HASH_BYTES);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = 0;
  for (let at = 0; at < width && end + LENGTH_BYTES <= bytes.length; at++) end += LENGTH_BYTES + view.getUint16(end);
  return bytes.subarray(0, end);
}

/** C2SP tlog-tiles: a partial tile has the name of the full one, and its width. */
function baseOf(path: string): string {
  const at = path.indexOf('.p/');
  return at === -1 ? path : path.slice(0, at);
}

/** Where the partial tiles of a tile stand among the others: '0' comes after '/'. */
export function partsOf(base: string): { readonly from: string; readonly to: string } {
  return { from: `${base}.p/`, to: `${base}.p0` };
}

/** Inclusion proofs in a tree of ten million records. Its full tiles are all alike, so that only the few on the way to a record are made. */
import { randomBytes } from 'node:crypto';
import { proveInclusion, treeRoot, verifyInclusion } from '../../src/audit/merkle.ts';
import { hashesAt, TILE_WIDTH, tileAt, tilePath } from '../../src/audit/tile-path.ts';
import { rootFromTiles, subtreeReader } from '../../src/audit/tiles.ts';
import { concat } from '../../src/domain/bytes.ts';
import type { BenchOptions, Report } from '../area.ts';
import { quantile } from '../core/rounds.ts';
import type { BenchLog } from './bench-log.ts';

const SIZE = 10_000_000;
const PROOFS = 200;

export async function measureHugeTree({ stores }: BenchLog, { quick }: BenchOptions, report: Report): Promise<void> {
  const { unitOfWork, log } = stores;
  const hashes = Array.from({ length: TILE_WIDTH }, () => new Uint8Array(randomBytes(32)));
  const indexes = Array.from({ length: quick ? 5 : PROOFS }, (_, at) => Math.floor(((at + 0.37) * SIZE) / PROOFS));
  const tiles = new Map<string, Uint8Array>();
  let row: readonly Uint8Array[] = hashes; // of one level: what each tile of it begins with
  for (let level = 0; hashesAt(SIZE, level) > 0; level++) {
    const wanted = [
      ...indexes.map((index) => Math.floor(index / TILE_WIDTH ** (level + 1))),
      Math.floor(hashesAt(SIZE, level) / TILE_WIDTH),
    ];
    for (const tile of wanted.map((index) => tileAt(SIZE, level, index))) {
      if (tile !== undefined) tiles.set(tilePath(tile), concat(...row.slice(0, tile.width)));
    }
    row = Array.from({ length: TILE_WIDTH }, () => treeRoot(row));
  }
  const rows = [...tiles].map(([path, bytes]) => ({ path: `huge/${path}`, bytes }));
  const head = await unitOfWork.run((tx) => log.head(tx));
  await unitOfWork.run((tx) => log.publish(tx, head?.size ?? (0 as never), { size: SIZE as never, checkpoint: new Uint8Array(0) }, rows));
  const read = (path: string) => unitOfWork.run((tx) => log.tile(tx, `huge/${path}`));
  const root = await rootFromTiles(SIZE, SIZE, read);
  const times: number[] = [];
  for (const index of indexes) {
    const startedAt = performance.now();
    const proof = await proveInclusion(index, SIZE, subtreeReader(SIZE, read));
    times.push(performance.now() - startedAt);
    const leaf = hashes[index % TILE_WIDTH] ?? new Uint8Array(0);
    if (!verifyInclusion(index, SIZE, leaf, proof, root)) throw new Error('a proof does not hold');
  }
  report.row({ name: 'inclusion proof, 10 M records, p50', value: quantile(times, 0.5), unit: 'ms' });
  report.row({ name: 'inclusion proof, 10 M records, p99', value: quantile(times, 0.99), unit: 'ms' });
}

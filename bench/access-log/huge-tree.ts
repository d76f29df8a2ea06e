/** Inclusion proofs in a tree of ten million records: all of its tiles are there, each of other hashes, and a proof is what a receipt holds, made and verified. */

import { signCheckpoint } from '../../src/audit/checkpoint.ts';
import { leafHash, treeRoot } from '../../src/audit/merkle.ts';
import type { TileRow } from '../../src/audit/port.ts';
import { makeProof, verifyProof } from '../../src/audit/proof.ts';
import { TILE_WIDTH, tilePath } from '../../src/audit/tile-path.ts';
import { rootFromTiles } from '../../src/audit/tiles.ts';
import { concat, utf8 } from '../../src/domain/bytes.ts';
import type { TreeSize } from '../../src/domain/ids.ts';
import type { BenchOptions, Report } from '../area.ts';
import { quantile } from '../core/rounds.ts';
import type { BenchLog } from './bench-log.ts';

const SIZE = 10_000_000;
const PROOFS = 500;
/** Tiles of one transaction. */
const BATCH = 256;

const recordAt = (index: number) => utf8(`record ${index}`);

export async function measureHugeTree(bench: BenchLog, { quick }: BenchOptions, report: Report): Promise<void> {
  const size = (quick ? 100_000 : SIZE) as TreeSize; // a whole number above zero
  const { unitOfWork, log } = bench.stores;
  const read = (path: string) => unitOfWork.run((tx) => log.tile(tx, path));
  await writeTree(size, bench);
  const checkpoint = await signCheckpoint(size, await rootFromTiles(size, size, read), bench.key, bench.sign);
  const times: number[] = [];
  for (let at = 0; at < PROOFS; at++) {
    const index = Math.floor(((at * 0.618_034) % 1) * size); // all over the tree, never two neighbours in a row
    const startedAt = performance.now();
    const proof = await makeProof(index, checkpoint, bench.key, read);
    times.push(performance.now() - startedAt);
    verifyProof(proof, bench.vkey, recordAt(index));
  }
  report.row({ name: `inclusion proof, ${size} records, p50`, value: quantile(times, 0.5), unit: 'ms' });
  report.row({
    name: `inclusion proof, ${size} records, p99`,
    value: quantile(times, 0.99),
    unit: 'ms',
    target: { of: 'value', atMost: 20 },
  });
}

/** Every hash tile of the tree, level by level. The records themselves are not stored: no proof is made from them. */
async function writeTree(size: number, { stores: { unitOfWork, log } }: BenchLog): Promise<void> {
  let published = 0;
  const put = (tiles: readonly TileRow[]) =>
    unitOfWork.run((tx) => log.publish(tx, published as TreeSize, { size: ++published as TreeSize, checkpoint: new Uint8Array(0) }, tiles));
  let hashAt = (at: number) => leafHash(recordAt(at));
  for (let level = 0, hashes = size; hashes > 0; level++, hashes = Math.floor(hashes / TILE_WIDTH)) {
    const above: Uint8Array[] = [];
    let tiles: TileRow[] = [];
    for (let start = 0; start < hashes; start += TILE_WIDTH) {
      const width = Math.min(TILE_WIDTH, hashes - start);
      const row = Array.from({ length: width }, (_, at) => hashAt(start + at));
      if (width === TILE_WIDTH) above.push(treeRoot(row));
      tiles.push({ path: tilePath({ level, index: start / TILE_WIDTH, width }), bytes: concat(...row) });
      if (tiles.length < BATCH && start + TILE_WIDTH < hashes) continue;
      await put(tiles);
      tiles = [];
    }
    hashAt = (at) => above[at] ?? new Uint8Array(0);
  }
}

import { expect, test } from '@jest/globals';
import { ChunkReader } from '../../src/sealed/chunks.ts';

test('a piece that lies in one chunk is lent out of it, also the first of a new chunk; only one that lies in two is copied', async () => {
  const chunks = [new Uint8Array(10).fill(1), new Uint8Array(5).fill(2), new Uint8Array(5).fill(3)];
  const reader = new ChunkReader(chunks);
  const taken: Array<[length: number, lender: number]> = [];
  for (const bytes of [6, 4, 4, 2, 4]) {
    const piece = await reader.take(bytes);
    taken.push([piece.length, chunks.findIndex(({ buffer }) => buffer === piece.buffer)]);
  }
  expect(taken).toEqual([
    [6, 0],
    [4, 0],
    [4, 1],
    [2, -1],
    [4, 2],
  ]);
});

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeEntries, encodeEntries } from '../../src/audit/bundle.ts';
import { leafHash, treeRoot } from '../../src/audit/merkle.ts';
import { allTiles, parseTilePath, tilePath } from '../../src/audit/tile-path.ts';
import { growTiles, rootFromTiles } from '../../src/audit/tiles.ts';
import { concat } from '../../src/domain/bytes.ts';
import { randomLeaves } from './small-log.ts';

/** Every tile by its definition in tlog-tiles, from all leaves. */
function tilesFromScratch(leaves: readonly Uint8Array[]): Map<string, Uint8Array> {
  const tiles = new Map<string, Uint8Array>();
  const put = (level: number | 'entries', parts: readonly Uint8Array[], join: (parts: readonly Uint8Array[]) => Uint8Array) => {
    for (let index = 0; index * 256 < parts.length; index++) {
      const part = parts.slice(index * 256, index * 256 + 256);
      tiles.set(tilePath({ level, index, width: part.length }), join(part));
    }
  };
  put('entries', leaves, encodeEntries);
  let hashes: readonly Uint8Array[] = leaves.map(leafHash);
  for (let level = 0; hashes.length > 0; level++) {
    put(level, hashes, (parts) => concat(...parts));
    hashes = Array.from({ length: Math.floor(hashes.length / 256) }, (_, at) => treeRoot(hashes.slice(at * 256, at * 256 + 256)));
  }
  return tiles;
}

/** Grows a tree batch by batch, and counts what was read. */
async function grown(leaves: readonly Uint8Array[], batches: readonly number[]) {
  const tiles = new Map<string, Uint8Array>();
  let reads = 0;
  let size = 0;
  for (const batch of batches) {
    const rows = await growTiles(size, leaves.slice(size, size + batch), async (path) => {
      reads++;
      return tiles.get(path);
    });
    for (const { path, bytes } of rows) tiles.set(path, bytes);
    size += batch;
  }
  return { tiles, reads, size };
}

describe('a growing tree', () => {
  const leaves = randomLeaves(600);

  test('has the tiles of a tree made from scratch, whatever the batches were', async () => {
    const batches = fc
      .array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 8 })
      .filter((parts) => parts.reduce((a, b) => a + b) <= leaves.length);
    await fc.assert(
      fc.asyncProperty(batches, async (parts) => {
        const { tiles, size } = await grown(leaves, parts);
        const expected = tilesFromScratch(leaves.slice(0, size));
        for (const [path, bytes] of expected) expect(tiles.get(path)).toEqual(bytes);
        expect(await rootFromTiles(size, size, async (path) => expected.get(path))).toEqual(treeRoot(leaves.slice(0, size).map(leafHash)));
      }),
      { numRuns: 60 },
    );
  });

  test('has the right tiles at every size from 1 to 600, one leaf at a time', async () => {
    const { tiles } = await grown(
      leaves,
      leaves.map(() => 1),
    );
    for (let size = 1; size <= leaves.length; size += 13) {
      for (const [path, bytes] of tilesFromScratch(leaves.slice(0, size))) expect(tiles.get(path)).toEqual(bytes);
    }
  });

  test('knows the root of every earlier size', async () => {
    const { tiles, size } = await grown(leaves, [600]);
    for (let earlier = 0; earlier <= size; earlier += 7) {
      expect(await rootFromTiles(earlier, size, async (path) => tiles.get(path))).toEqual(treeRoot(leaves.slice(0, earlier).map(leafHash)));
    }
  });

  test('of 70,000 leaves has the shape the specification names, and reads one partial tile per level to get there', async () => {
    const many = Array.from({ length: 70_000 }, (_, at) => Uint8Array.of(at & 255, at >> 8, at >> 16));
    const { tiles, reads } = await grown(many, [69_990, 10]);
    const names = [...allTiles(70_000)].map(tilePath);
    expect(names.filter((path) => /^tile\/0\/[^.]*$/.test(path))).toHaveLength(273);
    expect(names.filter((path) => path.includes('.p/'))).toEqual([
      'tile/entries/273.p/112',
      'tile/0/273.p/112',
      'tile/1/001.p/17',
      'tile/2/000.p/1',
    ]);
    expect(names.filter((path) => /^tile\/1\/[^.]*$/.test(path))).toEqual(['tile/1/000']);
    for (const path of names) expect(tiles.has(path)).toBe(true);
    expect(tiles.get('tile/0/272')).toHaveLength(8192);
    expect(reads).toBe(2); // the entry bundle and the level-0 tile of width 102: nothing above them changed
  });

  test('of 256 leaves is one full tile and a level-1 tile of width 1', () => {
    expect([...allTiles(256)].map(tilePath)).toEqual(['tile/entries/000', 'tile/0/000', 'tile/1/000.p/1']);
    expect([...allTiles(0)]).toEqual([]);
  });

  test('stops when its edge is missing or of another width', async () => {
    await expect(growTiles(3, leaves.slice(0, 1), async () => undefined)).rejects.toMatchObject({ code: 'log_incomplete' });
    const short = new Map([
      ['tile/0/000.p/3', new Uint8Array(64)],
      ['tile/entries/000.p/3', encodeEntries(leaves.slice(0, 3))],
    ]);
    await expect(growTiles(3, leaves.slice(0, 1), async (path) => short.get(path))).rejects.toMatchObject({ code: 'log_tile_mismatch' });
    short.set('tile/entries/000.p/3', encodeEntries(leaves.slice(0, 2)));
    await expect(growTiles(3, leaves.slice(0, 1), async (path) => short.get(path))).rejects.toMatchObject({ code: 'log_entry_mismatch' });
  });
});

describe('entry bundles', () => {
  test('take a leaf of exactly 16 KiB and refuse one byte more', () => {
    expect(encodeEntries([new Uint8Array(16_384)])).toHaveLength(16_386);
    expect(() => encodeEntries([new Uint8Array(16_385)])).toThrow('log_leaf_too_large');
  });

  test('come back as they went in, and say when they were cut or extended', () => {
    const leaves = [Uint8Array.of(1, 2, 3), new Uint8Array(0), Uint8Array.of(4)];
    const bytes = encodeEntries(leaves);
    expect(decodeEntries(bytes, 3)).toEqual({ entries: leaves, wellFormed: true });
    for (let length = 0; length < bytes.length; length++) expect(decodeEntries(bytes.subarray(0, length), 3).wellFormed).toBe(false);
    expect(decodeEntries(concat(bytes, Uint8Array.of(0)), 3).wellFormed).toBe(false);
  });
});

describe('tile paths', () => {
  test.each([
    ['tile/0/x001/x234/067', { level: 0, index: 1_234_067, width: 256 }],
    ['tile/63/000.p/255', { level: 63, index: 0, width: 255 }],
    ['tile/entries/x001/000.p/1', { level: 'entries', index: 1000, width: 1 }],
  ] as const)('%s', (path, name) => {
    expect(tilePath(name)).toBe(path);
    expect(parseTilePath(path)).toEqual(name);
  });

  test.each([
    '',
    'tile/0',
    'tile/64/000',
    'tile/00/000',
    'tile/-1/000',
    'tile/0/0',
    'tile/0/0000',
    'tile/0/x000/000',
    'tile/0/x001',
    'tile/0/001/x000',
    'tile/0/000.p/0',
    'tile/0/000.p/256',
    'tile/0/000.p/01',
    'tile/0/000.p/',
    'tile/0/000/',
    '/tile/0/000',
    'tile/0/000\n',
    'tile/8/0/000',
    'tile/entries/../checkpoint',
    'tile/data/000',
    'tile/0/x999/x999/x999/x999/x999/999',
  ])('refuses %j', (path) => {
    expect(() => parseTilePath(path)).toThrow('request_invalid');
  });
});

import { describe, expect, it } from '@jest/globals';
import type { Disclosure, PublishedHead, TileRow } from '../../src/audit/port.ts';
import { growTiles } from '../../src/audit/tiles.ts';
import { utf8 } from '../../src/domain/bytes.ts';
import type { Incarnation, RecordId, TreeSize } from '../../src/domain/ids.ts';
import type { Stores } from '../../src/stores/port.ts';
import { atOnce, bytes, freshStores, id, later, type OpenStores, within } from './stores-under-test.ts';

export function logStoreContract(name: string, open: OpenStores): void {
  describe(`LogStore, leaves: ${name}`, () => {
    const use = freshStores(open);

    it('keeps an appended leaf byte by byte, without an index at first, also after reopening', async () => {
      const { stores, reopen } = use();
      const [recordId] = await append(stores, 1);
      const [empty, leaf] = [id<RecordId>(), new Uint8Array([0, 255, 10, 0])];
      const other = id<RecordId>();
      await within(stores, async (tx) => {
        await stores.log.append(tx, empty, new Uint8Array(0), []);
        await stores.log.append(tx, other, leaf, []);
      });
      const again = await reopen();
      await within(again, async (tx) => {
        expect(await again.log.leafByRecord(tx, other)).toEqual({ leaf });
        expect(await again.log.leafByRecord(tx, other)).not.toHaveProperty('index');
        expect(await again.log.leafByRecord(tx, empty)).toEqual({ leaf: new Uint8Array(0) });
        expect(await again.log.leafByRecord(tx, recordId as RecordId)).toBeDefined();
        expect(await again.log.leafByRecord(tx, id<RecordId>())).toBeUndefined();
        expect(await again.log.assignedSize(tx)).toBe(0);
        expect(await again.log.leaves(tx, 0, 10)).toEqual([]);
      });
    });

    it('leaves no trace of a record whose transaction failed', async () => {
      const { stores } = use();
      const recordId = id<RecordId>();
      const failed = within(stores, async (tx) => {
        await stores.log.append(tx, recordId, bytes(), [disclosure(recordId, 'subject')]);
        throw new Error('denied after all');
      });
      await expect(failed).rejects.toThrow('denied after all');
      expect(await within(stores, (tx) => stores.log.leafByRecord(tx, recordId))).toBeUndefined();
      expect(await within(stores, (tx) => stores.log.disclosures(tx, recordId))).toEqual([]);
    });

    it('never accepts a record twice', async () => {
      const { stores } = use();
      const recordId = id<RecordId>();
      const leaf = bytes();
      await within(stores, (tx) => stores.log.append(tx, recordId, leaf, []));
      await expect(within(stores, (tx) => stores.log.append(tx, recordId, bytes(), []))).rejects.toThrow();
      expect(await within(stores, (tx) => stores.log.leafByRecord(tx, recordId))).toEqual({ leaf });
    });

    it('keeps the disclosures of a record apart from its leaf, also after reopening', async () => {
      const { stores, reopen } = use();
      const recordId = id<RecordId>();
      const given = [disclosure(recordId, 'subject'), disclosure(recordId, 'remoteAddress')];
      await within(stores, (tx) => stores.log.append(tx, recordId, bytes(), given));
      await append(stores, 1);
      const again = await reopen();
      const kept = await within(again, (tx) => again.log.disclosures(tx, recordId));
      expect(new Set(kept)).toEqual(new Set(given));
      expect(await within(again, (tx) => again.log.disclosures(tx, id<RecordId>()))).toEqual([]);
    });

    it('erases every disclosure of the records that commit to a name, and leaves the leaves and all others alone', async () => {
      const { stores, reopen } = use();
      const [mine, also, other] = [id<RecordId>(), id<RecordId>(), id<RecordId>()];
      const named = (recordId: RecordId, value: string) => ({ ...disclosure(recordId, 'administratorName'), value });
      const leaf = bytes();
      const kept = [named(other, 'bob'), { ...disclosure(other, 'remoteAddress'), value: 'alice' }];
      await within(stores, async (tx) => {
        await stores.log.append(tx, mine, leaf, [named(mine, 'alice'), disclosure(mine, 'remoteAddress')]);
        await stores.log.append(tx, also, bytes(), [named(also, 'alice')]);
        await stores.log.append(tx, other, bytes(), kept);
      });
      expect(await within(stores, (tx) => stores.log.eraseDisclosuresOf(tx, 'alice'))).toEqual({ records: 2, disclosures: 3 });
      const again = await reopen();
      await within(again, async (tx) => {
        expect(await again.log.disclosures(tx, mine)).toEqual([]);
        expect(await again.log.disclosures(tx, also)).toEqual([]);
        expect(new Set(await again.log.disclosures(tx, other))).toEqual(new Set(kept));
        expect(await again.log.leafByRecord(tx, mine)).toEqual({ leaf });
        expect(await again.log.eraseDisclosuresOf(tx, 'alice')).toEqual({ records: 0, disclosures: 0 });
      });
    });

    it('prunes whole bundles and nothing else: rows, disclosures and entry bundles of every width; hashes and all other records stay', async () => {
      const { stores, reopen } = use();
      const records = await append(stores, 600);
      await within(stores, (tx) => stores.log.append(tx, id<RecordId>(), bytes(), []));
      await assign(stores, 1000);
      const paths = [
        'tile/entries/000',
        'tile/entries/000.p/7',
        'tile/entries/001',
        'tile/entries/001.p/9',
        'tile/0/000',
        'tile/0/001.p/9',
      ];
      const tiles = paths.map((path) => ({ path, bytes: bytes() }));
      expect(await publish(stores, 0, headOf(601), tiles)).toBe(true);
      await within(stores, (tx) => stores.log.prune(tx, [1], 512));
      const again = await reopen();
      await within(again, async (tx) => {
        expect(await again.log.prunedBefore(tx)).toBe(512);
        expect([await again.log.isPruned(tx, 0), await again.log.isPruned(tx, 1)]).toEqual([false, true]);
        const kept = (await again.log.leaves(tx, 0, 1000)).map(({ index }) => index);
        expect(kept).toEqual(Array.from({ length: 601 }, (_, at) => at).filter((at) => at < 256 || at >= 512));
        expect(await again.log.leafByRecord(tx, records[300] as RecordId)).toBeUndefined();
        expect(await again.log.assignedSize(tx)).toBe(601);
        const left = [];
        for (const path of paths) if ((await again.log.tile(tx, path)) !== undefined) left.push(path);
        expect(left).toEqual(['tile/entries/000', 'tile/entries/000.p/7', 'tile/0/000', 'tile/0/001.p/9']);
      });
    });

    it('gives the oldest leaves the next indexes without a gap, in order of appending, at most `limit`', async () => {
      const { stores, reopen } = use();
      const records = await append(stores, 5);
      expect(await assign(stores, 3)).toBe(3);
      expect(await size(stores)).toBe(3);
      records.push(...(await append(stores, 2)));
      const again = await reopen();
      expect(await assign(again, 100)).toBe(4);
      expect(await assign(again, 100)).toBe(0);
      expect(await size(again)).toBe(7);
      const leaves = await within(again, (tx) => again.log.leaves(tx, 0, 7));
      expect(leaves.map((leaf) => leaf.recordId)).toEqual(records);
      expect(leaves.map((leaf) => leaf.index)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    });

    it('keeps the order of appending inside one transaction and leaves no gap after failed ones', async () => {
      const { stores } = use();
      const records: RecordId[] = [];
      for (let round = 0; round < 3; round++) {
        records.push(...(await append(stores, 4)));
        await within(stores, async (tx) => {
          await stores.log.append(tx, id<RecordId>(), bytes(), []);
          await stores.log.assign(tx, 100);
          throw new Error('rolled back');
        }).catch(() => undefined);
      }
      await assign(stores, 100);
      const leaves = await within(stores, (tx) => stores.log.leaves(tx, 0, 100));
      expect(leaves.map((leaf) => leaf.recordId)).toEqual(records);
      expect(leaves.map((leaf) => leaf.index)).toEqual(records.map((_, index) => index));
    });

    it('assigns each index once when two nodes assign and append at the same time', async () => {
      const { stores, second } = use();
      const nodes = [stores, await second()];
      await atOnce(20, async (index) => {
        const node = nodes[index % 2] ?? stores;
        await append(node, 3);
        await assign(node, 2);
      });
      while ((await assign(stores, 7)) > 0);
      const leaves = await within(stores, (tx) => stores.log.leaves(tx, 0, 1000));
      expect(leaves.map((leaf) => leaf.index)).toEqual(Array.from({ length: 60 }, (_, index) => index));
      expect(new Set(leaves.map((leaf) => leaf.recordId)).size).toBe(60);
    });

    it('knows the leaf that was appended last, with an index or without', async () => {
      const { stores } = use();
      const newest = () => within(stores, (tx) => stores.log.newestLeaf(tx));
      expect(await newest()).toBeUndefined();
      for (const leaf of [bytes(), bytes()]) {
        await within(stores, (tx) => stores.log.append(tx, id<RecordId>(), leaf, []));
        expect(await newest()).toEqual(leaf);
        await within(stores, (tx) => stores.log.assign(tx, 10));
        expect(await newest()).toEqual(leaf);
      }
    });

    it('reads leaves [start, end) in order, fewer only where they do not exist', async () => {
      const { stores } = use();
      const records = await append(stores, 6);
      await assign(stores, 5);
      const read = async (start: number, end: number) => {
        const leaves = await within(stores, (tx) => stores.log.leaves(tx, start, end));
        return leaves.map((leaf) => leaf.recordId);
      };
      expect(await read(1, 3)).toEqual(records.slice(1, 3));
      expect(await read(3, 99)).toEqual(records.slice(3, 5)); // the sixth has no index yet
      expect(await read(2, 2)).toEqual([]);
      expect(await read(5, 9)).toEqual([]);
      const found = await within(stores, (tx) => stores.log.leafByRecord(tx, records[4] as RecordId));
      expect(found?.index).toBe(4);
    });
  });

  describe(`LogStore, sequencer: ${name}`, () => {
    const use = freshStores(open);

    it('gives the lease to who finds it free and keeps it from the others until it expires', async () => {
      const { stores, second, advance } = use();
      const other = await second();
      const [one, two] = [id<Incarnation>(), id<Incarnation>()];
      expect(await acquire(stores, one, 10_000)).toBe(true);
      expect(await acquire(other, two, 10_000)).toBe(false);
      await advance(9_000);
      expect(await acquire(stores, one, 10_000)).toBe(true); // its own: renewed
      await advance(9_000);
      expect(await acquire(other, two, 10_000)).toBe(false);
      await advance(1_000);
      expect(await acquire(other, two, 10_000)).toBe(true);
      expect(await acquire(stores, one, 10_000)).toBe(false);
    });

    it('gives a free lease to exactly one of twenty holders on two nodes, and remembers it after reopening', async () => {
      const { stores, second, reopen } = use();
      const nodes = [stores, await second()];
      const got = await atOnce(20, (index) => acquire(nodes[index % 2] ?? stores, id<Incarnation>(), 60_000));
      expect(got.filter(Boolean)).toHaveLength(1);
      expect(await acquire(await reopen(), id<Incarnation>(), 60_000)).toBe(false);
    });
  });

  describe(`LogStore, publishing: ${name}`, () => {
    const use = freshStores(open);

    it('has no head and no tile at first', async () => {
      const { stores } = use();
      expect(await head(stores)).toBeUndefined();
      expect(await tile(stores, 'tile/0/000')).toBeUndefined();
    });

    it('sets the head and its tiles together, replaces tiles of the same path, also after reopening', async () => {
      const { stores, reopen } = use();
      const [first, next] = [headOf(3), headOf(7)];
      const [entries, partial, whole] = [tileOf('tile/entries/000.p/3'), tileOf('tile/0/000'), tileOf('tile/0/000')];
      expect(await publish(stores, 0, first, [entries, partial])).toBe(true);
      expect(await tile(stores, 'tile/0/000')).toEqual(partial.bytes);
      expect(await publish(stores, 3, next, [whole])).toBe(true);
      const again = await reopen();
      expect(await head(again)).toEqual(next);
      expect(await tile(again, 'tile/0/000')).toEqual(whole.bytes);
      expect(await tile(again, 'tile/entries/000.p/3')).toEqual(entries.bytes);
    });

    it('gives a tile under every narrower name it had, also after it became wider, and after reopening', async () => {
      const { stores, reopen } = use();
      const leaves = Array.from({ length: 530 }, (_, at) => utf8(`record ${at} ${'.'.repeat(at % 70)}`));
      const had = new Map<string, Uint8Array>();
      const sizes = [1, 2, 255, 256, 300, 511, 512, 530];
      for (const [at, next] of sizes.entries()) {
        const before = sizes[at - 1] ?? 0;
        const tiles = await growTiles(before, leaves.slice(before, next), (path) => tile(stores, path));
        for (const { path, bytes: made } of tiles) had.set(path, made);
        expect(await publish(stores, before, headOf(next), tiles)).toBe(true);
      }
      const again = await reopen();
      for (const [path, made] of had) expect([path, await tile(again, path)]).toEqual([path, made]);
      expect(had.size).toBeGreaterThan(2 * sizes.length);
      for (const never of ['tile/0/002.p/19', 'tile/entries/002.p/19', 'tile/0/003.p/1', 'tile/entries/003.p/1', 'tile/1/000.p/3'])
        expect([never, await tile(again, never)]).toEqual([never, undefined]);
    });

    it('keeps one signed summary, the last that was put, also after reopening', async () => {
      const { stores, reopen } = use();
      const kept = (from: Stores) => within(from, (tx) => from.log.summary(tx));
      expect(await kept(stores)).toBeUndefined();
      const [first, next] = [bytes(100), bytes(50)].map((body) => ({ bytes: body, signature: bytes(64) }));
      for (const summary of [first, next, first])
        if (summary !== undefined) await within(stores, (tx) => stores.log.putSummary(tx, summary));
      expect(await kept(await reopen())).toEqual(first);
    });

    it('replaces the checkpoint by one of the same size, and by no other', async () => {
      const { stores } = use();
      const resign = (size: number) => within(stores, (tx) => stores.log.resignHead(tx, headOf(size)));
      expect(await resign(4)).toBe(false);
      await publish(stores, 0, headOf(4), []);
      expect([await resign(3), await resign(5)]).toEqual([false, false]);
      const next = { ...headOf(4), checkpoint: utf8('by another key') };
      expect(await within(stores, (tx) => stores.log.resignHead(tx, next))).toBe(true);
      expect(await head(stores)).toEqual(next);
    });

    it('keeps the newest witnessed checkpoint, never one that is larger than the head or older, and forgets it when another key signs', async () => {
      const { stores, reopen } = use();
      const put = (size: number, words = 'cosigned') =>
        within(stores, (tx) => stores.log.publishWitnessed(tx, { ...headOf(size), checkpoint: utf8(words) }));
      const kept = (from = stores) => within(from, (tx) => from.log.witnessed(tx));
      expect([await put(1), await kept()]).toEqual([false, undefined]); // no head yet
      await publish(stores, 0, headOf(4), []);
      expect([await put(5), await put(3), await put(4), await put(3), await put(4, 'by one more')]).toEqual([
        false,
        true,
        true,
        false,
        true,
      ]);
      expect((await kept(await reopen()))?.checkpoint).toEqual(utf8('by one more'));
    });

    it("answers false and changes nothing when the head's size is not `previous` or would not grow", async () => {
      const { stores } = use();
      const tiles = [tileOf('tile/0/001')];
      expect(await publish(stores, 2, headOf(4), tiles)).toBe(false); // no head yet: its size is 0
      expect(await publish(stores, 0, headOf(0), tiles)).toBe(false);
      const first = headOf(4);
      expect(await publish(stores, 0, first, [])).toBe(true);
      expect(await publish(stores, 0, headOf(9), tiles)).toBe(false);
      expect(await publish(stores, 3, headOf(9), tiles)).toBe(false);
      expect(await publish(stores, 5, headOf(9), tiles)).toBe(false);
      expect(await publish(stores, 4, headOf(4), tiles)).toBe(false);
      expect(await publish(stores, 4, headOf(3), tiles)).toBe(false);
      expect(await head(stores)).toEqual(first);
      expect(await tile(stores, 'tile/0/001')).toBeUndefined();
    });

    it('lets exactly one of ten concurrent publishers on two nodes grow the tree', async () => {
      const { stores, second } = use();
      const nodes = [stores, await second()];
      const grown = await atOnce(10, (index) => publish(nodes[index % 2] ?? stores, 0, headOf(index + 1), []));
      expect(grown.filter(Boolean)).toHaveLength(1);
      expect((await head(stores))?.size).toBe(grown.indexOf(true) + 1);
    });
  });
}

/** Appends leaves in one transaction; their ids in order of appending, which is not the order of the ids. */
async function append(stores: Stores, count: number): Promise<RecordId[]> {
  const ids = Array.from({ length: count }, () => id<RecordId>());
  await within(stores, async (tx) => {
    for (const recordId of ids) await stores.log.append(tx, recordId, bytes(), []);
  });
  return ids;
}

function assign(stores: Stores, limit: number): Promise<number> {
  return within(stores, (tx) => stores.log.assign(tx, limit));
}

function size(stores: Stores): Promise<TreeSize> {
  return within(stores, (tx) => stores.log.assignedSize(tx));
}

function acquire(stores: Stores, holder: Incarnation, forMs: number): Promise<boolean> {
  return within(stores, (tx) => stores.log.acquireSequencer(tx, holder, later(tx.now, forMs)));
}

function disclosure(recordId: RecordId, field: string): Disclosure {
  return { recordId, field, salt: bytes(16), value: `${field} é\n` };
}

function headOf(treeSize: number): PublishedHead {
  return { size: treeSize as TreeSize, checkpoint: utf8(`vault/log\n${treeSize}\n${id()}\n`) };
}

function tileOf(path: string): TileRow {
  return { path, bytes: bytes(64) };
}

function publish(stores: Stores, previous: number, to: PublishedHead, tiles: readonly TileRow[]): Promise<boolean> {
  return within(stores, (tx) => stores.log.publish(tx, previous as TreeSize, to, tiles));
}

function head(stores: Stores): Promise<PublishedHead | undefined> {
  return within(stores, (tx) => stores.log.head(tx));
}

function tile(stores: Stores, path: string): Promise<Uint8Array | undefined> {
  return within(stores, (tx) => stores.log.tile(tx, path));
}

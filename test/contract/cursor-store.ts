import { describe, expect, it } from '@jest/globals';
import type { CursorName } from '../../src/audit/port.ts';
import type { Incarnation } from '../../src/domain/ids.ts';
import type { Stores } from '../../src/stores/port.ts';
import { atOnce, freshStores, id, later, type OpenStores, within } from './stores-under-test.ts';

const NAME: CursorName = 'search';

export function cursorStoreContract(name: string, open: OpenStores): void {
  describe(`CursorStore: ${name}`, () => {
    const use = freshStores(open);

    it('makes a cursor where it is asked to begin, keeps each by its name, also after reopening', async () => {
      const { stores, reopen } = use();
      const node = id<Incarnation>();
      expect(await where(stores)).toBeUndefined();
      expect(await acquire(stores, node, { next: 7 })).toBe(true);
      expect(await acquire(stores, node, { next: 9, name: 'alerts' })).toBe(true);
      expect(await acquire(stores, node, { next: 99 })).toBe(true); // it exists: that is where it stands
      const again = await reopen();
      const all = await within(again, (tx) => again.cursors.all(tx));
      expect(all.map(({ name: each, next, holder }) => [each, next, holder])).toEqual([
        ['alerts', 9, node],
        ['search', 7, node],
      ]);
    });

    it('keeps the lease from others until it expires, and gives a free one to exactly one of twenty', async () => {
      const { stores, second, advance } = use();
      const nodes = [stores, await second()];
      const holders = Array.from({ length: 20 }, () => id<Incarnation>());
      const got = await atOnce(20, (index) => acquire(nodes[index % 2] ?? stores, holders[index] as Incarnation));
      expect(got.filter(Boolean)).toHaveLength(1);
      const [winner, loser] = [got.indexOf(true), got.indexOf(false)].map((at) => holders[at] as Incarnation);
      await advance(9_999);
      expect(await acquire(stores, loser as Incarnation)).toBe(false);
      expect(await acquire(stores, winner as Incarnation)).toBe(true);
      await advance(10_000);
      expect(await acquire(stores, loser as Incarnation)).toBe(true);
      expect(await acquire(stores, winner as Incarnation)).toBe(false);
    });

    it('is moved by its holder from where it stands and by nobody else', async () => {
      const { stores, advance } = use();
      const [one, two] = [id<Incarnation>(), id<Incarnation>()];
      await acquire(stores, one);
      expect(await move(stores, two, 0, 3)).toBe(false);
      expect(await move(stores, one, 1, 3)).toBe(false);
      expect(await move(stores, one, 0, 3)).toBe(true);
      expect(await move(stores, one, 0, 3)).toBe(false);
      await advance(10_000);
      await acquire(stores, two);
      expect(await move(stores, one, 3, 5)).toBe(false); // taken over meanwhile
      expect(await where(stores)).toBe(3);
      await within(stores, (tx) => stores.cursors.release(tx, NAME, one)); // not its own any more
      expect(await acquire(stores, one)).toBe(false);
      await within(stores, (tx) => stores.cursors.release(tx, NAME, two));
      expect(await acquire(stores, one)).toBe(true);
    });

    it('is gone when it was dropped, and cannot be moved then', async () => {
      const { stores } = use();
      const one = id<Incarnation>();
      await acquire(stores, one, { next: 5 });
      await within(stores, (tx) => stores.cursors.drop(tx, NAME));
      expect(await where(stores)).toBeUndefined();
      expect(await move(stores, one, 5, 6)).toBe(false);
    });

    it('moves together with what else the transaction does, or not at all', async () => {
      const { stores } = use();
      const one = id<Incarnation>();
      await acquire(stores, one);
      const failed = within(stores, async (tx) => {
        await stores.cursors.move(tx, { name: NAME, holder: one, from: 0, to: 4 });
        throw new Error('not written after all');
      });
      await expect(failed).rejects.toThrow('not written after all');
      expect(await where(stores)).toBe(0);
    });
  });
}

function acquire(stores: Stores, holder: Incarnation, { next = 0, name = NAME } = {}): Promise<boolean> {
  return within(stores, (tx) => stores.cursors.acquire(tx, { name, holder, until: later(tx.now, 10_000), next }));
}

function move(stores: Stores, holder: Incarnation, from: number, to: number): Promise<boolean> {
  return within(stores, (tx) => stores.cursors.move(tx, { name: NAME, holder, from, to }));
}

async function where(stores: Stores): Promise<number | undefined> {
  return (await within(stores, (tx) => stores.cursors.cursor(tx, NAME)))?.next;
}

import { describe, expect, it } from '@jest/globals';
import type { FoundStep, SearchEntry, SearchStep } from '../../src/audit/search/port.ts';
import type { Stores } from '../../src/stores/port.ts';
import { freshStores, type OpenStores, within } from './stores-under-test.ts';

const DAY_MS = 86_400_000;
const DAY = 20_000 * DAY_MS; // some midnight

/** 3,000 records with terms of every rarity, times that go back once, and a few large releases; the same each time. */
function entries(): SearchEntry[] {
  return Array.from({ length: 3_000 }, (_, index) => {
    const timeMs = DAY + (index < 1_500 ? index : index - 700) * 1_000;
    const terms = [1, 2 + (index % 3), 10 + (index % 97), 1_000 + Math.floor(index / 2), ...(index === 2_222 ? [7] : [])];
    const bytes = index % 500 === 0 ? index * 1_000 : index % 7;
    const tally = { day: '2024-10-04', namespace: index % 2 ? 'lab' : '', type: 'release.end', outcome: 'success', reason: '' };
    return { index, timeMs, bytes, terms, tally };
  });
}

const QUERIES = [
  ['everything', {}],
  ['what every record says', { terms: [1] }],
  ['what one record says', { terms: [7] }],
  ['what two records say', { terms: [1_100] }],
  ['two common terms', { terms: [1, 3] }],
  ['terms that are never together', { terms: [2, 3] }],
  ['a common and a rare term', { terms: [1, 2, 13] }],
  ['a term that nobody said', { terms: [5_000_000] }],
  ['a time', { fromMs: DAY + 1_000_000, toMs: DAY + 1_200_000 }],
  ['a time and terms', { terms: [1, 4], fromMs: DAY + 900_000, toMs: DAY + 1_400_000 }],
  ['a time before all', { toMs: DAY - 1 }],
  ['a time after all', { fromMs: DAY + 10_000_000 }],
  ['large releases', { minBytes: 1_000_000 }],
  ['large releases of one', { minBytes: 7, terms: [2] }],
] as const;

export function searchStoreContract(name: string, open: OpenStores): void {
  describe(`SearchStore: ${name}`, () => {
    const use = freshStores(open);
    const all = entries();

    it('finds what is asked for, in both orders, page after page, and nothing else', async () => {
      const { stores } = use();
      await within(stores, (tx) => stores.search.add(tx, all));
      for (const [what, wanted] of QUERIES) {
        const query = { terms: [] as readonly number[], ...wanted };
        const expected = all.filter((entry) => fits(entry, query)).map(({ index }) => index);
        for (const limit of [7, 1_000]) {
          const up = await everything(stores, { ...query, order: 'oldest', start: 0, limit });
          const down = await everything(stores, { ...query, order: 'newest', start: all.length - 1, limit });
          expect([what, up, down]).toEqual([what, expected, expected.toReversed()]);
        }
      }
    });

    it('goes on from any index, whatever came in meanwhile', async () => {
      const { stores, reopen } = use();
      await within(stores, (tx) => stores.search.add(tx, all.slice(0, 100)));
      const query = { terms: [3], limit: 10, order: 'oldest' as const };
      const first = await step(stores, { ...query, start: 0 });
      await within(stores, (tx) => stores.search.add(tx, all.slice(100, 200)));
      const again = await reopen();
      const rest = await everything(again, { ...query, start: first.next ?? -1 });
      expect([...first.indexes, ...rest]).toEqual(
        all
          .slice(0, 200)
          .filter((entry) => fits(entry, query))
          .map(({ index }) => index),
      );
    });

    it('counts records and bytes by day and by what they say', async () => {
      const { stores } = use();
      await within(stores, (tx) => stores.search.add(tx, all));
      const asked = { fromDay: '2024-10-04', toDay: '2024-10-04' };
      const tallies = await within(stores, (tx) => stores.search.tallies(tx, asked));
      const bytes = (odd: number) => all.filter(({ index }) => index % 2 === odd).reduce((sum, entry) => sum + entry.bytes, 0);
      expect(tallies.map(({ namespace, records, bytes: sum }) => [namespace, records, sum])).toEqual([
        ['', 1_500, bytes(0)],
        ['lab', 1_500, bytes(1)],
      ]);
      expect(await within(stores, (tx) => stores.search.tallies(tx, { ...asked, namespace: 'lab' }))).toHaveLength(1);
      expect(await within(stores, (tx) => stores.search.tallies(tx, { fromDay: '2024-10-05', toDay: '2024-10-09' }))).toEqual([]);
    });

    it('is empty when it was cleared, and the same when it was filled again', async () => {
      const { stores } = use();
      const asked = { terms: [3], order: 'oldest' as const, start: 0, limit: 5_000 };
      await within(stores, (tx) => stores.search.add(tx, all));
      const before = await everything(stores, asked);
      let steps = 0;
      while (await within(stores, (tx) => stores.search.clear(tx, 700))) expect(++steps).toBeLessThan(1_000);
      expect(steps).toBeGreaterThan(5); // each a short one
      expect(await everything(stores, asked)).toEqual([]);
      expect(await within(stores, (tx) => stores.search.tallies(tx, { fromDay: '', toDay: '9' }))).toEqual([]);
      await within(stores, (tx) => stores.search.add(tx, all));
      expect(await everything(stores, asked)).toEqual(before);
    });

    it('takes no record twice', async () => {
      const { stores } = use();
      await within(stores, (tx) => stores.search.add(tx, all.slice(0, 2)));
      await expect(within(stores, (tx) => stores.search.add(tx, all.slice(1, 3)))).rejects.toThrow();
      expect(await everything(stores, { terms: [], order: 'oldest', start: 0, limit: 9 })).toEqual([0, 1]);
    });
  });
}

function fits(
  entry: SearchEntry,
  { terms, fromMs = 0, toMs = Infinity, minBytes = 0 }: Pick<SearchStep, 'terms' | 'fromMs' | 'toMs' | 'minBytes'>,
) {
  return terms.every((term) => entry.terms.includes(term)) && entry.timeMs >= fromMs && entry.timeMs <= toMs && entry.bytes >= minBytes;
}

function step(stores: Stores, asked: SearchStep): Promise<FoundStep> {
  return within(stores, (tx) => stores.search.find(tx, asked));
}

async function everything(stores: Stores, asked: SearchStep): Promise<number[]> {
  const found: number[] = [];
  let start: number | undefined = asked.start;
  for (let steps = 0; start !== undefined && start >= 0; steps++) {
    if (steps > 2_000) throw new Error('a search that does not end');
    const { indexes, next }: FoundStep = await step(stores, { ...asked, start });
    expect(indexes.length).toBeLessThanOrEqual(asked.limit);
    found.push(...indexes);
    start = next;
  }
  return found;
}

import { describe, expect, it } from '@jest/globals';
import type { AlertRow } from '../../src/audit/alerts/port.ts';
import type { RecordId } from '../../src/domain/ids.ts';
import { bytes, digest, freshStores, id, later, type OpenStores, timeOf, within } from './stores-under-test.ts';

const KEY = 'a'.repeat(64);

export function alertStoreContract(name: string, open: OpenStores): void {
  describe(`AlertStore: ${name}`, () => {
    const use = freshStores(open);
    const alert = (raisedAt: Date, over: Partial<AlertRow> = {}): AlertRow => ({
      ...{ recordId: id<RecordId>(raisedAt), raisedAt, rule: 'A01', ruleId: 'x', title: 'Many refusals', level: 'high', dedupeKey: KEY },
      ...{ matches: 5, first: 1, last: 9, group: { namespace: 'lab' }, sending: 'sent', ...over },
    });

    it('keeps alerts whole, newest first, page by page, also after reopening, and forgets the old', async () => {
      const { stores, reopen } = use();
      const now = await timeOf(stores);
      const rows = [0, 1, 2].map((at) => alert(later(now, at * 1000), at === 1 ? { acted: 'block x' } : {}));
      await within(stores, async (tx) => {
        for (const row of rows) await stores.alerts.insert(tx, row);
      });
      const again = await reopen();
      await within(again, async (tx) => {
        expect(await again.alerts.alerts(tx, 10)).toEqual(rows.toReversed());
        expect(await again.alerts.alerts(tx, 1, rows[2]?.recordId)).toEqual([rows[1]]);
        expect(await again.alerts.alert(tx, rows[0]?.recordId as RecordId)).toEqual(rows[0]);
        expect(await again.alerts.alert(tx, id<RecordId>())).toBeUndefined();
        await again.alerts.purge(tx, later(now, 1500));
        expect(await again.alerts.alerts(tx, 10)).toEqual([rows[2]]);
      });
    });

    it('knows when one of a key was sent, how many were not since, and takes a storm once', async () => {
      const { stores } = use();
      const now = await timeOf(stores);
      await within(stores, async (tx) => {
        expect(await stores.alerts.lastSent(tx, KEY)).toEqual({ repeated: 0 });
        const sendings = ['sent', 'repeated', 'repeated', 'storm', 'nowhere'] as const;
        for (const [at, sending] of sendings.entries()) await stores.alerts.insert(tx, alert(later(now, at), { sending }));
        expect(await stores.alerts.lastSent(tx, KEY)).toEqual({ at: now, repeated: 2 });
        expect(await stores.alerts.lastSent(tx, 'b'.repeat(64))).toEqual({ repeated: 0 });
        expect(await stores.alerts.sentSince(tx, later(now, -1))).toBe(1);
        expect(await stores.alerts.sentSince(tx, now)).toBe(0);
        expect(await stores.alerts.takeStorm(tx)).toMatchObject({ count: 1, newest: expect.any(String) });
        expect(await stores.alerts.takeStorm(tx)).toEqual({ count: 0 });
      });
    });

    it('gives what is due to one of two, and again after a retry or when it was not settled in time', async () => {
      const { stores, second, advance } = use();
      const other = await second();
      const recordId = id<RecordId>();
      const now = await timeOf(stores);
      await within(stores, async (tx) => {
        for (const target of ['a', 'a', 'b']) await stores.alerts.enqueue(tx, { recordId, target, repeated: 3, storm: 0 });
      });
      const take = (from = stores, busy: readonly string[] = []) =>
        within(from, (tx) => from.alerts.takeDue(tx, { limit: 10, until: later(tx.now, 40_000), busy }));
      const [first, none] = [await take(), await take(other)];
      expect(first.map(({ target, repeated, attempts }) => [target, repeated, attempts])).toEqual([
        ['a', 3, 0],
        ['b', 3, 0],
      ]);
      expect(none).toEqual([]);
      await within(stores, (tx) => stores.alerts.settle(tx, recordId, 'b'));
      await within(stores, (tx) => stores.alerts.retry(tx, recordId, 'a', later(now, 10_000)));
      await advance(10_000);
      expect((await take(other)).map(({ target, attempts }) => [target, attempts])).toEqual([['a', 1]]);
      expect(await take()).toEqual([]);
      await advance(40_000);
      expect(await take(stores, ['b', 'a'])).toEqual([]); // whoever is busy is not asked for more
      expect(await take(stores, ['b'])).toHaveLength(1);
    });

    it('keeps one state of the engine, and beats once in a while for all', async () => {
      const { stores, second, advance } = use();
      const other = await second();
      expect(await within(stores, (tx) => stores.alerts.keptEngine(tx))).toBeUndefined();
      const kept = { ruleSet: digest(), at: 7, state: bytes(100) };
      await within(stores, (tx) => stores.alerts.keepEngine(tx, { ...kept, at: 3 }));
      await within(stores, (tx) => stores.alerts.keepEngine(tx, kept));
      expect(await within(other, (tx) => other.alerts.keptEngine(tx))).toEqual(kept);
      const beat = (from = stores) => within(from, (tx) => from.alerts.beat(tx, 60, 120));
      expect(await beat()).toBe('not-yet');
      await advance(60_000);
      expect([await beat(), await beat(other)]).toEqual(['beat', 'not-yet']);
      await advance(120_001);
      expect(await beat(other)).toBe('late');
    });
  });
}

import { describe, expect, it } from '@jest/globals';
import { VaultError } from '../../src/domain/errors.ts';
import type { RecordId } from '../../src/domain/ids.ts';
import type { Tx } from '../../src/domain/unit-of-work.ts';
import type { Stores } from '../../src/stores/port.ts';
import { atOnce, bytes, freshStores, id, model, NS, type OpenStores, timeOf, within } from './stores-under-test.ts';

export function unitOfWorkContract(name: string, open: OpenStores): void {
  describe(`UnitOfWork: ${name}`, () => {
    const use = freshStores(open);

    it('keeps what was written once it resolves, also for who opens the data afterwards', async () => {
      const { stores, reopen } = use();
      await within(stores, (tx) => stores.catalog.insertModel(tx, model('kept')));
      expect(await nameOf(await reopen(), 'kept')).toBe('kept');
    });

    it('gives back what the work returned', async () => {
      expect(await within(use().stores, async () => 42)).toBe(42);
    });

    it('does nothing at all when the work throws, and throws the same', async () => {
      const { stores } = use();
      const failure = new VaultError('policy_denied', 'as it was');
      const run = within(stores, async (tx) => {
        await stores.catalog.insertModel(tx, model('half'));
        await stores.log.append(tx, id<RecordId>(), bytes(), []);
        throw failure;
      });
      await expect(run).rejects.toBe(failure);
      expect(await nameOf(stores, 'half')).toBeUndefined();
      expect(await within(stores, (tx) => stores.log.assign(tx, 10))).toBe(0);
    });

    it('does nothing when the work throws before its first await', async () => {
      const run = within(use().stores, () => {
        throw new Error('at once');
      });
      await expect(run).rejects.toThrow('at once');
      await expect(timeOf(use().stores)).resolves.toBeInstanceOf(Date);
    });

    it('lets the work see its own writes', async () => {
      const { stores } = use();
      const seen = await within(stores, async (tx) => {
        await stores.catalog.insertModel(tx, model('own'));
        return stores.catalog.modelByName(tx, NS, 'own');
      });
      expect(seen?.name).toBe('own');
    });

    it('joins all stores in one transaction', async () => {
      const { stores } = use();
      const recordId = id<RecordId>();
      await within(stores, async (tx) => {
        await stores.catalog.insertModel(tx, model('joined'));
        await stores.log.append(tx, recordId, bytes(), []);
      });
      expect(await nameOf(stores, 'joined')).toBe('joined');
      expect(await within(stores, (tx) => stores.log.leafByRecord(tx, recordId))).toBeDefined();
    });

    it('runs each work as if alone: read, wait, write loses no update, in one instance and in two', async () => {
      const { stores, second } = use();
      const nodes = [stores, await second()];
      const claimed = await atOnce(40, (index) => appendNextNumber(nodes[index % 2] ?? stores));
      expect([...claimed].sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, index) => index));
    });

    it('lets a work that is ahead pass those that wait in this process, and nobody is forgotten', async () => {
      const { stores } = use();
      const order: string[] = [];
      const runs = Array.from({ length: 20 }, (_, index) => stores.unitOfWork.run(async () => void order.push(`waits ${index}`)));
      runs.push(stores.unitOfWork.run(async () => void order.push('ahead'), { ahead: true }));
      await Promise.all(runs);
      expect(order.indexOf('ahead')).toBeLessThan(3);
      expect(order.filter((one) => one !== 'ahead')).toEqual(Array.from({ length: 20 }, (_, index) => `waits ${index}`));
      await expect(timeOf(stores)).resolves.toBeInstanceOf(Date);
    });

    it('never shows half a transaction to another instance', async () => {
      const { stores, second } = use();
      const reader = await second();
      const writes = within(stores, async (tx) => {
        await stores.catalog.insertModel(tx, model('left'));
        await pause(50);
        await stores.catalog.insertModel(tx, model('right'));
      });
      let settled = false;
      void writes.finally(() => {
        settled = true;
      });
      while (!settled) {
        const seen = await within(reader, async (tx) => [
          await reader.catalog.modelByName(tx, NS, 'left'),
          await reader.catalog.modelByName(tx, NS, 'right'),
        ]);
        expect(seen.filter((row) => row !== undefined)).toHaveLength(seen[0] === undefined ? 0 : 2);
        await pause(5);
      }
      await writes;
      expect(await nameOf(reader, 'right')).toBe('right');
    });

    it("fixes the transaction's time at its start", async () => {
      const { stores, advance } = use();
      const [start, end] = await within(stores, async (tx) => {
        const atStart = tx.now.getTime();
        await advance(60_000);
        return [atStart, tx.now.getTime()] as const;
      });
      expect(end).toBe(start);
      expect((await timeOf(stores)).getTime()).toBeGreaterThanOrEqual(start + 60_000);
    });

    it('never gives a transaction an earlier time than the one before', async () => {
      const { stores } = use();
      let last = 0;
      for (let turn = 0; turn < 20; turn++) {
        const now = (await timeOf(stores)).getTime();
        expect(now).toBeGreaterThanOrEqual(last);
        last = now;
      }
    });

    it('gives every node the same time', async () => {
      const { stores, second, advance } = use();
      const other = await second();
      await advance(3_600_000);
      expect(Math.abs((await timeOf(stores)).getTime() - (await timeOf(other)).getTime())).toBeLessThan(5_000);
    });

    it('refuses a Tx whose transaction has ended, committed or not', async () => {
      const { stores } = use();
      let committed: Tx | undefined;
      let failed: Tx | undefined;
      await within(stores, async (tx) => {
        committed = tx;
      });
      await within(stores, async (tx) => {
        failed = tx;
        throw new Error('no');
      }).catch(() => undefined);
      for (const tx of [committed, failed]) {
        await expect(stores.catalog.insertModel(tx as Tx, model('late'))).rejects.toThrow('ended');
        await expect(stores.documents.current(tx as Tx, NS, 'policy-set')).rejects.toThrow('ended');
      }
      expect(await nameOf(stores, 'late')).toBeUndefined();
    });

    it('refuses a Tx of other stores and one that is only shaped like a Tx', async () => {
      const { stores, second } = use();
      const other = await second();
      await within(other, async (foreign) => {
        await expect(stores.catalog.modelByName(foreign, NS, 'x')).rejects.toThrow('other stores');
        await expect(stores.log.assignedSize(foreign)).rejects.toThrow('other stores');
      });
      await expect(stores.releases.stops({ now: new Date() })).rejects.toThrow('other stores');
    });

    it('refuses a transaction inside another of the same stores instead of waiting for itself', async () => {
      const { stores } = use();
      await expect(within(stores, async () => timeOf(stores))).rejects.toThrow('pass its tx on');
      await expect(timeOf(stores)).resolves.toBeInstanceOf(Date);
    });

    it('answers store_unavailable after close, and lets what was begun finish', async () => {
      const { stores, second } = use();
      const begun = within(stores, async (tx) => {
        await pause(20);
        await stores.catalog.insertModel(tx, model('begun'));
      });
      await stores.close();
      await begun;
      await expect(timeOf(stores)).rejects.toMatchObject({ code: 'store_unavailable' });
      expect(await nameOf(await second(), 'begun')).toBe('begun');
      await stores.close(); // a second close is no harm
    });

    it('commits and acknowledges nothing any more when another disk of the process failed, neither what runs nor what waits', async () => {
      const { stores, second } = use();
      let goOn = () => {};
      const held = new Promise<void>((resolve) => {
        goOn = resolve;
      });
      const begun = within(stores, async (tx) => {
        await stores.catalog.insertModel(tx, model('begun'));
        await held;
      });
      const waits = within(stores, (tx) => stores.catalog.insertModel(tx, model('waits')));
      const ended = Promise.allSettled([begun, waits]);
      await pause(20); // until the first has begun; the second may share its transaction or not
      stores.giveUp(new Error('EIO'));
      stores.giveUp(new Error('EIO')); // once more is no harm
      goOn();
      expect((await ended).map((one) => (one.status === 'rejected' ? one.reason.code : one.status))).toEqual([
        'store_unavailable',
        'store_unavailable',
      ]);
      await expect(timeOf(stores)).rejects.toMatchObject({ code: 'store_unavailable' });
      const other = await second();
      expect([await nameOf(other, 'begun'), await nameOf(other, 'waits')]).toEqual([undefined, undefined]);
    });
  });
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function nameOf(stores: Stores, name: string): Promise<string | undefined> {
  return (await within(stores, (tx) => stores.catalog.modelByName(tx, NS, name)))?.name;
}

/** Counts what is there and appends one, with a wait in between in which a lost update would happen. */
function appendNextNumber(stores: Stores): Promise<number> {
  return within(stores, async (tx) => {
    const size = await stores.log.assignedSize(tx);
    await new Promise((resolve) => setImmediate(resolve));
    await stores.log.append(tx, id<RecordId>(), bytes(), []);
    await stores.log.assign(tx, 1);
    return size;
  });
}

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createFollower, type FollowerEvent, type FollowerOptions } from '../../src/audit/follower.ts';
import type { LeafRow } from '../../src/audit/port.ts';
import { utf8 } from '../../src/domain/bytes.ts';
import type { Clock } from '../../src/domain/clock.ts';
import { VaultError } from '../../src/domain/errors.ts';
import { type Incarnation, newId, type RecordId } from '../../src/domain/ids.ts';
import type { Stores } from '../../src/stores/port.ts';
import { openSqliteStores } from '../../src/stores/sqlite/sqlite-stores.ts';

describe('a follower of the log', () => {
  let folder = '';
  let aheadMs = 0;
  let stores: Stores;
  const clock: Clock = { now: () => new Date(Date.now() + aheadMs), monotonicMs: () => performance.now() };
  const open = () => openSqliteStores({ file: join(folder, 'vault.db'), clock });
  beforeEach(async () => {
    aheadMs = 0;
    folder = mkdtempSync(join(tmpdir(), 'wv-follow-'));
    stores = await open();
  });
  afterEach(async () => {
    await stores.close();
    rmSync(folder, { recursive: true });
  });

  it('gives every record that has an index, in order and in small batches, and then waits without writing', async () => {
    await append(stores, 5);
    await assign(stores, 4); // the fifth has no place in the tree yet
    const { follower, got } = follow(stores, { batch: 3 });
    expect([await follower.tick(), await follower.tick(), await follower.tick()]).toEqual(['moved', 'moved', 'idle']);
    expect(got).toEqual(['0', '1', '2', '3']);
    await assign(stores, 10);
    expect([await follower.tick(), await follower.tick()]).toEqual(['moved', 'idle']);
    expect(got).toEqual(['0', '1', '2', '3', '4']);
  });

  it('makes room step by step before its first batch, goes on where a process died, and never once somebody else is ahead of it', async () => {
    await append(stores, 5);
    await assign(stores, 10);
    let steps = 3;
    const makeRoom = async () => --steps > 0;
    const dying = follow(stores, { batch: 3, reader: { makeRoom } });
    expect(await dying.follower.tick()).toBe('moved');
    expect([steps, dying.got]).toEqual([2, []]);
    aheadMs = 60_000; // its lease is over
    const { follower, got } = follow(stores, {
      batch: 3,
      reader: { makeRoom, deliver: async (leaves) => void got.push(...textOf(leaves)) },
    });
    expect([await follower.tick(), await follower.tick(), steps]).toEqual(['moved', 'moved', 0]);
    expect(got).toEqual(['0', '1', '2']);
    expect([await dying.follower.tick(), await follower.tick(), steps]).toEqual(['standby', 'moved', 0]);

    await stores.unitOfWork.run((tx) => stores.cursors.drop(tx, 'search')); // made anew
    let taken: (() => Promise<unknown>) | undefined = () =>
      stores.unitOfWork.run(async (tx) => {
        await stores.cursors.drop(tx, 'search');
        await stores.cursors.acquire(tx, {
          name: 'search',
          holder: newId<Incarnation>(tx.now),
          until: new Date(tx.now.getTime() + 60_000),
          next: 0,
        });
      });
    const unitOfWork: typeof stores.unitOfWork = {
      run: async (work) => {
        const done = await stores.unitOfWork.run(work);
        await taken?.();
        taken = undefined;
        return done;
      },
    };
    const late = follow(stores, { unitOfWork, reader: { makeRoom } });
    expect([await late.follower.tick(), steps]).toEqual(['lost', 0]);
  });

  it('that is woken looks at once, also when it was just looking, but not before its pause after a failure is over', async () => {
    const hour = 3_600_000;
    let broken = false;
    let looking = 0;
    const events: string[] = [];
    const { follower, got } = follow(stores, {
      lookMs: hour,
      retryMs: { first: hour, most: hour },
      onEvent: ({ kind }) => void events.push(kind),
      reader: {
        deliver: async (leaves) => {
          looking++;
          if (looking === 1) {
            await append(stores, 1, 1); // comes while the first is being read
            await assign(stores, 10);
            follower.wake();
          }
          if (broken) throw new VaultError('sink_unreachable', 'down');
          got.push(...textOf(leaves));
        },
      },
    });
    const until = async (what: () => boolean) => {
      for (let tries = 0; !what(); tries++) {
        if (tries > 6_000) throw new Error(`it did not happen: ${got} ${events}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    follower.start();
    try {
      await append(stores, 1);
      await assign(stores, 10);
      follower.wake();
      await until(() => got.length === 2);
      broken = true;
      await append(stores, 1, 2);
      await assign(stores, 10);
      follower.wake();
      await until(() => events.includes('failed'));
      broken = false;
      follower.wake();
      follower.wake();
      expect([got, events.filter((kind) => kind === 'failed')]).toEqual([['0', '1'], ['failed']]);
      expect(await follower.tick()).toBe('moved'); // nothing but the pause was in the way
      expect(got).toEqual(['0', '1', '2']);
    } finally {
      await follower.stop();
    }
  });

  it('gives more at a time while many records wait, and none twice', async () => {
    await append(stores, 20);
    await assign(stores, 20);
    const { follower, got } = follow(stores, { batch: 2, behind: { records: 5, batch: 7 } });
    const counts: number[] = [];
    while ((await follower.tick()) === 'moved') counts.push(got.length);
    expect(counts).toEqual([7, 14, 20]); // 20 wait, 13, 6; then none
    await append(stores, 5, 20);
    await assign(stores, 20);
    while ((await follower.tick()) === 'moved') counts.push(got.length);
    expect(counts).toEqual([7, 14, 20, 22, 24, 25]);
    expect(got).toEqual(Array.from({ length: 25 }, (_, at) => String(at)));
  });

  it('begins with what comes from now on when it is asked to', async () => {
    await append(stores, 3);
    await assign(stores, 10);
    const { follower, got } = follow(stores, { from: 'next' });
    expect(await follower.tick()).toBe('idle');
    await append(stores, 1, 3);
    await assign(stores, 10);
    expect(await follower.tick()).toBe('moved');
    expect(got).toEqual(['3']);
  });

  it('gives the same records again after a failure, whoever failed, and skips none', async () => {
    await append(stores, 3);
    await assign(stores, 10);
    const events: FollowerEvent[] = [];
    let broken: 'deliver' | 'apply' | 'nothing' = 'deliver';
    const seen: string[] = [];
    const fail = (where: string) => {
      if (broken === where) throw new VaultError('store_unavailable', where);
    };
    const { follower } = follow(stores, {
      onEvent: (event) => events.push(event),
      reader: {
        deliver: async (leaves) => {
          seen.push(textOf(leaves).join());
          fail('deliver');
        },
        apply: async () => fail('apply'),
      },
    });
    expect(await follower.tick()).toBe('failed');
    broken = 'apply';
    expect(await follower.tick()).toBe('failed');
    broken = 'nothing';
    expect(await follower.tick()).toBe('moved');
    expect(seen).toEqual(['0,1,2', '0,1,2', '0,1,2']);
    expect(events).toMatchObject([
      { kind: 'failed', inARow: 1 },
      { kind: 'failed', inARow: 2 },
      { kind: 'moved', next: 3, size: 3 },
    ]);
  });

  it('writes with the cursor or not at all', async () => {
    await append(stores, 2);
    await assign(stores, 10);
    const written: RecordId[] = [];
    let crash = true;
    const apply: FollowerOptions['reader']['apply'] = async (tx) => {
      const recordId = newId<RecordId>(tx.now);
      await stores.log.append(tx, recordId, utf8('alert'), []);
      written.push(recordId);
      if (crash) throw new Error('crash');
    };
    const { follower } = follow(stores, { reader: { apply } });
    expect(await follower.tick()).toBe('failed');
    crash = false;
    expect(await follower.tick()).toBe('moved');
    const found = await stores.unitOfWork.run((tx) => Promise.all(written.map((one) => stores.log.leafByRecord(tx, one))));
    expect(found.map((one) => one !== undefined)).toEqual([false, true]);
  });

  it('goes on after a restart where it was; another process takes over when the first gives up or dies, and only then', async () => {
    await append(stores, 4);
    await assign(stores, 10);
    const first = follow(stores, { batch: 1 });
    await first.follower.tick();
    const elsewhere = await open();
    try {
      const second = follow(elsewhere, { batch: 1 });
      expect(await second.follower.tick()).toBe('standby');
      await first.follower.stop(); // gives its lease back
      expect(await second.follower.tick()).toBe('moved');
      expect(await first.follower.tick()).toBe('standby');
      aheadMs += 16_000; // the second died: its lease ends
      expect(await first.follower.tick()).toBe('moved');
      expect([first.got, second.got]).toEqual([['0', '2'], ['1']]);
    } finally {
      await elsewhere.close();
    }
  });

  it('does not move a cursor that somebody else took while it delivered', async () => {
    await append(stores, 1);
    await assign(stores, 10);
    const other = follow(stores);
    const slow = follow(stores, {
      reader: {
        deliver: async () => {
          aheadMs += 16_000;
          expect(await other.follower.tick()).toBe('moved');
        },
      },
    });
    expect(await slow.follower.tick()).toBe('lost');
    expect(other.got).toEqual(['0']); // at least once: both had it
  });

  it('runs by itself until it is stopped', async () => {
    await append(stores, 30);
    await assign(stores, 100);
    const done = Promise.withResolvers<void>();
    const { follower, got } = follow(stores, {
      batch: 7,
      onEvent: (event) => event.kind === 'moved' && event.next === 30 && done.resolve(),
    });
    follower.start();
    await done.promise;
    await follower.stop();
    expect(got).toHaveLength(30);
  });
});

function follow(stores: Stores, more: Partial<FollowerOptions> = {}) {
  const got: string[] = [];
  const follower = createFollower({
    unitOfWork: stores.unitOfWork,
    log: stores.log,
    cursors: stores.cursors,
    name: 'search',
    node: newId<Incarnation>(new Date()),
    from: 'first',
    reader: { deliver: async (leaves) => void got.push(...textOf(leaves)) },
    ...more,
  });
  return { follower, got };
}

function textOf(leaves: readonly LeafRow[]): string[] {
  return leaves.map(({ leaf }) => Buffer.from(leaf).toString());
}

/** Leaves that say their number. */
async function append(stores: Stores, count: number, first = 0): Promise<void> {
  await stores.unitOfWork.run(async (tx) => {
    for (let at = 0; at < count; at++) await stores.log.append(tx, newId<RecordId>(tx.now), utf8(String(first + at)), []);
  });
}

function assign(stores: Stores, limit: number): Promise<number> {
  return stores.unitOfWork.run((tx) => stores.log.assign(tx, limit));
}

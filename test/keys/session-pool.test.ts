/** The pool by itself: who gets a session when, and what happens to those who wait too long. */
import { describe, expect, test } from '@jest/globals';
import type { Operation, Result } from '../../src/keys/pkcs11/operation.ts';
import { type Lane, type PoolLimits, SessionPool } from '../../src/keys/pkcs11/session-pool.ts';

const LIMITS: PoolLimits = { queue: 100, deadlineMs: 5_000 };
const ask = (length: number): Operation => ({ verb: 'random', length });
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** A session that answers when it is told to. */
function slowLane(): Lane & { finish(result?: Result): Promise<void>; fail(error: Error): void; asked: Operation[]; closed: boolean } {
  let answer = Promise.withResolvers<Result>();
  return {
    asked: [],
    closed: false,
    perform(operation) {
      this.asked.push(operation);
      answer = Promise.withResolvers<Result>();
      return answer.promise;
    },
    close() {
      this.closed = true;
    },
    finish(result = new Uint8Array(1)) {
      answer.resolve(result);
      return pause(0);
    },
    fail: (error) => answer.reject(error),
  };
}

describe('the session pool', () => {
  test('lends a session to one operation at a time, and to those who wait in their order', async () => {
    const lanes = [slowLane(), slowLane()];
    const pool = new SessionPool(lanes, LIMITS);
    const order: number[] = [];
    const all = [1, 2, 3, 4, 5].map((at) => Promise.resolve(pool.run(ask(at))).then(() => order.push(at)));
    expect(pool.load()).toEqual({ sessions: 2, busy: 2, waiting: 3 });
    for (let at = 0; at < 5; at++) await lanes[at % 2 === 0 ? 1 : 0]?.finish();
    await lanes[0]?.finish();
    await Promise.all(all);
    expect(order).toEqual([1, 2, 3, 4, 5]);
    expect(pool.load()).toEqual({ sessions: 2, busy: 0, waiting: 0 });
  });

  test('answers at once what a session answers at once, and throws what it throws', () => {
    const lane: Lane = {
      perform: (operation) => {
        if (operation.verb !== 'random') throw new Error('no');
        return new Uint8Array([7]);
      },
      close: () => undefined,
    };
    const pool = new SessionPool([lane], LIMITS);
    expect(pool.run(ask(1))).toEqual(new Uint8Array([7]));
    expect(() => pool.run({ verb: 'describe', ref: { id: 'a' as never, version: 1 } })).toThrow('no');
    expect(pool.load()).toEqual({ sessions: 1, busy: 0, waiting: 0 });
  });

  test('refuses one more than may wait', async () => {
    const lane = slowLane();
    const pool = new SessionPool([lane], { ...LIMITS, queue: 2 });
    const waiting = [pool.run(ask(1)), pool.run(ask(2)), pool.run(ask(3))];
    expect(() => pool.run(ask(4))).toThrow(expect.objectContaining({ code: 'keeper_queue_full' }));
    for (let at = 0; at < 3; at++) await lane.finish();
    expect(await Promise.all(waiting)).toHaveLength(3);
  });

  test('a call past its deadline is refused, its late answer wiped, and its session lent again only then', async () => {
    const lane = slowLane();
    const pool = new SessionPool([lane], { ...LIMITS, deadlineMs: 30 });
    await expect(pool.run(ask(1))).rejects.toMatchObject({ code: 'keeper_deadline' });
    const next = pool.run(ask(2)) as Promise<Result>;
    await expect(next).rejects.toMatchObject({ code: 'keeper_deadline' });
    expect(lane.asked).toHaveLength(1); // who gave up waiting is not asked for after all
    const secret = new Uint8Array(32).fill(9);
    await lane.finish(secret);
    expect(secret.every((byte) => byte === 0)).toBe(true);
    const again = pool.run(ask(3));
    await lane.finish();
    expect(await again).toEqual(new Uint8Array(1));
  });

  test('a session that never comes back is reported', async () => {
    let stuck = 0;
    const pool = new SessionPool([slowLane()], { ...LIMITS, deadlineMs: 10, onStuck: () => stuck++ });
    await expect(pool.run(ask(1))).rejects.toMatchObject({ code: 'keeper_deadline' });
    await pause(200);
    expect(stuck).toBe(1);
    expect(await pool.close()).toBe(false);
  });

  test('close refuses who waits and ends after the last operation', async () => {
    const lane = slowLane();
    const pool = new SessionPool([lane], LIMITS);
    const running = pool.run(ask(1));
    const waiting = pool.run(ask(2));
    let closed: boolean | undefined;
    const closing = pool.close().then((whole) => (closed = whole));
    await expect(waiting).rejects.toMatchObject({ code: 'hsm_unavailable' });
    expect([closed, lane.closed]).toEqual([undefined, false]);
    await lane.finish();
    expect(await running).toEqual(new Uint8Array(1));
    await closing;
    expect([closed, lane.closed]).toEqual([true, true]);
    expect(() => pool.run(ask(3))).toThrow(expect.objectContaining({ code: 'hsm_unavailable' }));
  });
});

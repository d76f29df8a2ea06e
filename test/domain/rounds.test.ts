import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { type Rounds, startRounds } from '../../src/domain/rounds.ts';

let rounds: Rounds | undefined;
beforeEach(() => void jest.useFakeTimers());
afterEach(async () => {
  await rounds?.stop();
  jest.useRealTimers();
});

const failures: unknown[] = [];
const start = (work: () => Promise<void>) => {
  failures.length = 0;
  rounds = startRounds(work, { everyMs: 1_000, onFailure: (error) => void failures.push(error) });
  return rounds;
};
const settled = () => jest.advanceTimersByTimeAsync(0);

test('rounds come one after another, and never two at once', async () => {
  let [under, most, done] = [0, 0, 0];
  start(async () => {
    most = Math.max(most, ++under);
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    under--;
    done++;
  });
  await jest.advanceTimersByTimeAsync(10_600);
  expect([done, most]).toEqual([3, 1]); // each takes 2.5 s and the pause is one
});

test('a wake begins one at once; many during a round make one more', async () => {
  let begun = 0;
  let finish: Array<() => void> = [];
  const one = start(async () => {
    begun++;
    await new Promise<void>((resolve) => finish.push(resolve));
  });
  one.wake();
  await settled();
  expect(begun).toBe(1);
  for (let at = 0; at < 5; at++) one.wake();
  await settled();
  expect(begun).toBe(1);
  for (const end of finish.splice(0)) end();
  await settled();
  expect(begun).toBe(2);
  finish.splice(0)[0]?.();
  await settled();
  expect(begun).toBe(2);
  finish = [];
});

test('a round that fails is told, and comes again after the pause, not at once', async () => {
  let begun = 0;
  const one = start(async () => {
    begun++;
    one.wake();
    throw new Error('store');
  });
  one.wake();
  await settled();
  expect([begun, failures.length]).toEqual([1, 1]);
  await jest.advanceTimersByTimeAsync(1_000);
  expect(begun).toBe(2);
});

test('stop waits for the round under way, and no other follows', async () => {
  let done = 0;
  const one = start(async () => {
    await new Promise((resolve) => setTimeout(resolve, 100));
    done++;
  });
  one.wake();
  one.wake();
  const stopped = one.stop();
  one.wake();
  await jest.advanceTimersByTimeAsync(10_000);
  await stopped;
  expect(done).toBe(1);
});

/** T4: a power cut at any moment, on a disk that tears, reorders and forgets what was not synced. */
import { describe, expect, test } from '@jest/globals';
import { whyNoInjection } from './injection.ts';
import { type CutRun, cutBy, loggingRun, mirrorRun, sinkRun } from './power-cut.ts';

const why = whyNoInjection();
const withStrace = why === undefined ? describe : describe.skip;
if (why !== undefined) console.warn(`skipped: ${why}, so no run can be recorded`);

withStrace('after a power cut that tears, reorders and zeroes what was not synced', () => {
  const first = Date.now() % 1_000_000;
  const cut = async (run: CutRun, seeds: number) => {
    console.info(`${seeds} cuts from seed ${first}`);
    expect(run.replays).toBe(true);
    for (let seed = first; seed < first + seeds; seed++) await cutBy(seed, run);
  };

  test('the log has every record that was acknowledged, verifies, and continues the kept checkpoint', async () => {
    await cut(await loggingRun(), 400);
  });

  test('a file sink has every line that was acknowledged, and each line once when the rest was given again', async () => {
    await cut(await sinkRun(), 1_000);
  });

  test('a mirror is what it was acknowledged to be, and the next run completes it', async () => {
    await cut(await mirrorRun(), 150);
  });

  test('a disk that does not sync is what none of that survives: the simulation loses records then', async () => {
    const run = await loggingRun();
    const lost = await Promise.allSettled(Array.from({ length: 20 }, (_, at) => cutBy(first + at, run, true)));
    expect(lost.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(5);
  });
});

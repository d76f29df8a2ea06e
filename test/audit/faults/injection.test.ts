/** T1 and T2: the process is killed at, or fails in, the n-th system call that matters; nothing that was acknowledged is lost, ever. */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { emptySite, type Fault, type Survived, spread, surviving, twoAtOnce, whyNoInjection } from './injection.ts';

const why = whyNoInjection();
const withStrace = why === undefined ? describe : describe.skip;
if (why !== undefined) console.warn(`skipped: ${why}, so no fault can be injected`);

/** System calls of one undisturbed run of 60 records: SQLite writes some 800 times and syncs some 70 times, the kept checkpoint is renamed 4 times. */
const KILLS: readonly Fault[] = [
  ...spread(15, 760).map((when) => ({ inject: `pwrite64:signal=SIGKILL:when=${when}` })),
  ...spread(6, 70).map((when) => ({ inject: `fsync:signal=SIGKILL:when=${when}` })),
  ...[1, 2].map((when) => ({ inject: `rename:signal=SIGKILL:when=${when}` })),
];
const FAILURES: readonly Fault[] = [
  ...spread(5, 64).map((when) => ({ inject: `fsync:error=EIO:when=${when}` })),
  ...spread(3, 700).map((when) => ({ inject: `pwrite64:error=EIO:when=${when}` })),
];

let site: string;
beforeAll(async () => {
  site = await emptySite();
});
afterAll(() => rmSync(site, { recursive: true, force: true }));

withStrace('a process that writes the log', () => {
  test(`killed at each of ${KILLS.length} writes, fsyncs and renames loses no record that it acknowledged, and leaves a log that two verifiers accept`, async () => {
    const survived = await twoAtOnce(KILLS, (fault) => surviving(site, fault));
    expect(survived.filter(({ signal, exit }) => signal === 'SIGKILL' || exit === 137).length).toBeGreaterThan(KILLS.length * 0.8); // the others were done before
    expect(Math.max(...survived.map(({ acknowledged }) => acknowledged.length))).toBeGreaterThan(30);
  });

  test(`whose disk fails at each of ${FAILURES.length} fsyncs and writes ends, acknowledges nothing after, and starts again clean`, async () => {
    const survived = await twoAtOnce(FAILURES, (fault) => surviving(site, fault));
    const failed = survived.filter((one) => one.failed);
    expect(failed.length).toBeGreaterThan(FAILURES.length / 2);
    for (const one of failed) expect(one).toMatchObject({ exit: 1, acknowledgedLate: 0 } satisfies Partial<Survived>);
    // One that failed while it opened its database never served anybody.
    expect(survived.filter((one) => !one.failed && !one.done).every(({ acknowledged }) => acknowledged.length === 0)).toBe(true);
  });

  test('on a disk that is full for a while refuses, ends nothing, and goes on when there is room', async () => {
    const [full] = await twoAtOnce([{ inject: 'pwrite64:error=ENOSPC:when=200..260' }], (fault) => surviving(site, fault));
    expect(full).toMatchObject({ exit: 0, failed: false, done: true });
    expect(full?.refused).toBeGreaterThan(0);
    expect((full?.acknowledged.length ?? 0) + (full?.refused ?? 0)).toBe(60);
  });
});

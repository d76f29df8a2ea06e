/** T1 and T2: the process is killed at, or fails in, the n-th system call that matters; nothing that was acknowledged is lost, ever. */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { generator, type Point, pointsOf, type Site } from './calls.ts';
import { calledSites, emptySite, type Survived, surviving, twoAtOnce, whyNoInjection } from './injection.ts';

const why = whyNoInjection();
const withStrace = why === undefined ? describe : describe.skip;
if (why !== undefined) console.warn(`skipped: ${why}, so no fault can be injected`);

const KILLS = 300;
const nameOf = ({ call, file }: Point | Site) => `${call} ${file}`;

withStrace('a process that writes 200 records', () => {
  let site: string;
  let sites: readonly Site[];
  beforeAll(async () => {
    site = await emptySite();
    sites = await calledSites(site);
  });
  afterAll(() => rmSync(site, { recursive: true, force: true }));

  const under = (points: readonly Point[], effect: string) =>
    twoAtOnce(points, async (point) => ({ point, ...(await surviving(site, { ...point, effect })) }));

  test(`killed at ${KILLS} of its writes, fsyncs and renames loses no record that it acknowledged, and leaves a log that two verifiers accept`, async () => {
    const seed = Date.now() % 1_000_000;
    console.info(`kills of seed ${seed}`);
    const survived = await under(pointsOf(sites, KILLS, generator(seed)), 'signal=SIGKILL');
    const killed = survived.filter(({ signal, exit }) => signal === 'SIGKILL' || exit === 137); // the others were done before
    expect([survived.length >= KILLS, killed.length > KILLS * 0.8]).toEqual([true, true]);
    const everySite = sites.filter(({ times }) => times > 1).map(nameOf);
    expect(everySite.filter((name) => !killed.some(({ point }) => nameOf(point) === name))).toEqual([]);
    expect(killed.some(({ acknowledged }) => acknowledged.length > 100)).toBe(true);
  });

  test('whose disk fails at any place where it writes or syncs ends within a second, acknowledges nothing after, and starts again clean', async () => {
    const failing = sites.filter(({ call, file }) => /^(?:p?write|f.*sync|ftruncate)/.test(call) && !file.endsWith('-shm'));
    expect(failing.map(nameOf)).toEqual(
      expect.arrayContaining([
        ...['fsync vault.db-wal', 'fsync vault.db', 'fsync head.next', 'fsync ', 'pwrite64 vault.db-wal', 'pwrite64 vault.db'],
        ...['write head.next', 'ftruncate vault.db-wal'],
      ]),
    );
    const points = failing.flatMap(({ call, file, times }) =>
      [...new Set([1, Math.ceil(times / 2)])].map((when) => ({ call, file, when })),
    );
    const survived = await under(points, 'error=EIO');
    const failed = survived.filter((one) => one.failed);
    for (const one of failed) expect(one).toMatchObject({ exit: 1, acknowledgedLate: 0 } satisfies Partial<Survived>);
    // By its own clock; of most of them, because a busy machine may hold up one. The soak asks it of each.
    expect(failed.map(({ endedAfterMs }) => endedAfterMs).toSorted((a, b) => a - b)[failed.length >> 1]).toBeLessThan(1_000);
    // What fails when nobody is served any more, or not yet, ends without that word: nothing was acknowledged, or everything is there.
    for (const one of survived.filter(({ failed: said }) => !said)) expect([0, 200]).toContain(one.acknowledged.length);
    const syncs = failing.filter(({ call, times }) => call === 'fsync' && times > 2).map(nameOf);
    expect(syncs.filter((name) => !failed.some(({ point }) => nameOf(point) === name))).toEqual([]);
  });

  test('on a disk that is full for a while refuses, ends nothing, and goes on when there is room', async () => {
    const [full] = await under([{ call: 'pwrite64', file: 'vault.db-wal', when: '200..260' }], 'error=ENOSPC');
    expect(full).toMatchObject({ exit: 0, failed: false, done: true });
    expect(full?.refused).toBeGreaterThan(0);
    expect((full?.acknowledged.length ?? 0) + (full?.refused ?? 0)).toBe(200);
  });
});

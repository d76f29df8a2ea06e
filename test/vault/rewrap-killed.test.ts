/**
 * A rewrap that is killed with -9 again and again, against SoftHSM and a real database (P8): the small form of `npm run soak -- --only rewrap`,
 * which kills two hundred times over ten thousand versions.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Incarnation, newId } from '../../src/domain/ids.ts';
import { FAST, killedAfterMs, type RewrapSite, SLOW, startRewrapSite } from '../harness/rewrap-site.ts';

const VERSIONS = 700; // at the slow rate, more than the killed processes can do
const KILLS = 12;
let site: RewrapSite;
beforeAll(async () => {
  site = await startRewrapSite(VERSIONS);
});
afterAll(() => site?.stop());

test('killed at any point: every version readable, exactly one recorded key version each, no DEK in clear anywhere, and the job finishes', async () => {
  expect(await site.unreadable()).toEqual([]);
  const node = newId<Incarnation>(new Date()); // the lease is its own again: no kill waits for it to end
  await site.setRate(SLOW);
  for (let killed = 0; killed < KILLS; killed++) {
    expect(await site.workUntilKilled(killedAfterMs(site.batchMs(), Math.random), node)).not.toBe('after the end');
    expect(await site.disagreements()).toEqual([]);
    expect(await site.unreadable(20)).toEqual([]);
  }
  await site.setRate(FAST);
  expect(await site.finish(200_000)).toBe(true);
  expect(await site.moved()).toBe(VERSIONS);
  expect(await site.disagreements()).toEqual([]);
  expect(await site.unreadable()).toEqual([]);
  expect(site.leaks()).toEqual([]);
});

test('the search finds a DEK that is there', async () => {
  const { writeFileSync } = await import('node:fs');
  const [dek] = site.deks.values();
  for (const encoding of ['hex', 'base64'] as const) {
    writeFileSync(`${site.folder}/leak`, `"${dek?.toString(encoding)}"`);
    expect(site.leaks()).toEqual([expect.stringContaining('leak at 1')]);
  }
});

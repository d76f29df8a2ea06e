/** `npm run soak -- --only log-faults [--points N] [--records N]`: the access log under kills, failing and full disks at thousands of points, and at length (docs/soak.md). */
import { rmSync } from 'node:fs';
import { emptySite, surviving, twoAtOnce, whyNoInjection } from '../audit/faults/injection.ts';
import { flippedLog } from './flipped-log.ts';
import { grownLog } from './grown-log.ts';

/** One run of 60 records makes about so many of each. */
const CALLS = { pwrite64: 780, fsync: 73, rename: 4, ftruncate: 2 } as const;
const EFFECTS = ['signal=SIGKILL', 'signal=SIGKILL', 'signal=SIGKILL', 'error=EIO', 'error=ENOSPC'] as const;

export async function logFaults(points: number, records: number, random: () => number): Promise<readonly string[]> {
  const violated: string[] = [];
  const why = whyNoInjection();
  if (why === undefined) violated.push(...(await injected(points, random)));
  else console.log(`no fault was injected: ${why}`);
  violated.push(...(await flippedLog(random)));
  violated.push(...(await grownLog(records)));
  return violated;
}

async function injected(points: number, random: () => number): Promise<readonly string[]> {
  const violated: string[] = [];
  const site = await emptySite();
  const calls = Object.entries(CALLS);
  let done = 0;
  const one = async () => {
    const [call, last] = calls[Math.min(calls.length - 1, Math.floor(random() ** 2 * calls.length))] ?? ['fsync', 1];
    const effect = EFFECTS[Math.floor(random() * EFFECTS.length)] ?? 'error=EIO';
    const inject = `${call}:${effect}:when=${1 + Math.floor(random() * last)}`;
    try {
      const { failed, endedAfterMs, acknowledgedLate } = await surviving(site, { inject });
      if (acknowledgedLate > 0) violated.push(`${inject}: ${acknowledgedLate} records acknowledged after the disk failed`);
      if (failed && endedAfterMs > 1_000) violated.push(`${inject}: it ended ${Math.round(endedAfterMs)} ms after the disk failed`);
    } catch (error) {
      violated.push(`${inject}: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (++done % 50 === 0) console.log(`${done} of ${points} points, ${violated.length} violated`);
  };
  await twoAtOnce(Array.from({ length: points }), one);
  rmSync(site, { recursive: true, force: true });
  return violated;
}

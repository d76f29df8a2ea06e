/**
 * `npm run soak -- --only log-faults [--points N] [--cuts N]`: the access log under kills, failing and full disks at thousands of system calls, under tens of
 * thousands of power cuts, and with every bit of it flipped (docs/soak.md).
 */
import { rmSync } from 'node:fs';
import { pointsOf } from '../audit/faults/calls.ts';
import { calledSites, emptySite, surviving, twoAtOnce, whyNoInjection } from '../audit/faults/injection.ts';
import { cutBy, loggingRun, mirrorRun, sinkRun } from '../audit/faults/power-cut.ts';
import { flippedLog } from './flipped-log.ts';

export interface LogFaults {
  /** System calls at which the process that writes is killed or its disk fails. */
  readonly points: number;
  readonly cuts: number;
  readonly seed: number;
}

/** Of all points: most are kills, as in `npm test`, the others a disk that fails or is full. */
const EFFECTS = ['signal=SIGKILL', 'signal=SIGKILL', 'signal=SIGKILL', 'error=EIO', 'error=ENOSPC'] as const;

export async function logFaults({ points, cuts, seed }: LogFaults, random: () => number): Promise<readonly string[]> {
  const violated: string[] = [];
  const why = whyNoInjection();
  if (why === undefined) {
    violated.push(...(await injected(points, random)));
    violated.push(...(await powerCuts(cuts, seed)));
  } else console.log(`no fault was injected: ${why}`);
  violated.push(...(await flippedLog(random)));
  return violated;
}

async function injected(points: number, random: () => number): Promise<readonly string[]> {
  const violated: string[] = [];
  const site = await emptySite();
  const chosen = pointsOf(await calledSites(site), points, random);
  let [done, acknowledgedInAll, slowestMs] = [0, 0, 0];
  await twoAtOnce(chosen, async (point) => {
    const effect = EFFECTS[Math.floor(random() * EFFECTS.length)] ?? 'error=EIO';
    try {
      const { failed, endedAfterMs, acknowledgedLate, acknowledged } = await surviving(site, { ...point, effect });
      acknowledgedInAll += acknowledged.length;
      if (failed) slowestMs = Math.max(slowestMs, endedAfterMs);
      const what = `${effect} at ${point.call} ${point.file} ${point.when}`;
      if (acknowledgedLate > 0) violated.push(`${what}: ${acknowledgedLate} records acknowledged after the disk failed`);
      if (failed && !(endedAfterMs < 1_000)) violated.push(`${what}: it ended ${endedAfterMs} ms after the disk failed`);
    } catch (error) {
      violated.push(error instanceof Error ? error.message : String(error));
    }
    if (++done % 100 === 0) console.log(`${done} of ${chosen.length} points, ${violated.length} violated`);
  });
  rmSync(site, { recursive: true, force: true });
  console.log(
    `${done} points, ${acknowledgedInAll} records acknowledged, ${violated.length} violated; after a disk failed it ended within ${slowestMs} ms`,
  );
  return violated;
}

/** Most of them of the log itself. */
async function powerCuts(cuts: number, seed: number): Promise<readonly string[]> {
  const violated: string[] = [];
  for (const [what, run, count] of [
    ['log', await loggingRun(), Math.ceil(cuts * 0.7)],
    ['file sink', await sinkRun(), Math.ceil(cuts * 0.2)],
    ['mirror', await mirrorRun(), Math.ceil(cuts * 0.1)],
  ] as const) {
    if (!run.replays) violated.push(`${what}: the recorded run does not replay`);
    const before = violated.length;
    for (let at = 0; at < count; at++) {
      await cutBy((seed + at) >>> 0, run).catch((error) => violated.push(`${what}: ${error.message}`));
      if (at % 2_000 === 1_999) console.log(`${what}: ${at + 1} of ${count} power cuts, ${violated.length - before} violated`);
    }
    console.log(`${what}: ${count} power cuts over ${run.steps.length} steps, ${violated.length - before} violated`);
  }
  return violated;
}

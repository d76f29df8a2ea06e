/**
 * How long a process stood still: behind a disk that takes seconds for one sync, or on a machine that ran something else. The served processes of
 * test/e2e load this (`--import`) and say so on standard error. A test of a promised time does not count that against the product: who stands still
 * sends nothing either.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const LOOK_MS = 100;
/** Less is what any busy machine takes. */
const NOTABLE_MS = 400;

/** Calls `told` with milliseconds, after each time that this process stood still, until the answer is called. */
export function watchStandstill(told: (milliseconds: number) => void): () => void {
  let lookedAt = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    const late = now - lookedAt - LOOK_MS;
    lookedAt = now;
    if (late >= NOTABLE_MS) told(Math.round(late));
  }, LOOK_MS).unref();
  return () => clearInterval(timer);
}

/**
 * `work`, and again when it failed and this process stood still meanwhile: what is tested has deadlines in real time, and they are right to go off then.
 * `work` begins afresh each time.
 */
export async function undisturbed(work: () => Promise<void>, again = 3): Promise<void> {
  let stoodStill = 0;
  const stop = watchStandstill((milliseconds) => {
    stoodStill += milliseconds;
  });
  try {
    await work();
  } catch (error) {
    await sleep(2 * LOOK_MS); // it is told when it goes on
    if (again === 0 || stoodStill === 0) throw error;
    await undisturbed(work, again - 1);
  } finally {
    stop();
  }
}

/** The quickest of up to five runs, in milliseconds; as soon as one is below `boundMs` there are no more. A machine stands still in one, not in all. */
export async function quickest(boundMs: number, work: () => unknown): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 5 && best >= boundMs; run++) {
    const startedAt = performance.now();
    await work();
    best = Math.min(best, performance.now() - startedAt);
  }
  return best;
}

/** Node's flags for a process that says it. */
export const SAYING_STANDSTILL = ['--import', fileURLToPath(import.meta.url)] as const;

/** Of a line of such a process's standard error; undefined when it says something else. */
export function standstillIn(line: string): number | undefined {
  const [, ms] = /^\{"stoodStillMs":(\d+)\}$/.exec(line) ?? [];
  return ms === undefined ? undefined : Number(ms);
}

if (process.execArgv.includes(SAYING_STANDSTILL[1])) watchStandstill((ms) => void process.stderr.write(`{"stoodStillMs":${ms}}\n`));

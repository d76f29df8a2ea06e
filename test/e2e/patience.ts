/**
 * A vault whose disk, or machine, stands still for seconds says so: it answers that it cannot just now, and it cuts its streams when it could not read
 * the stops for 4 s. It is right to, and whoever asks again is served. So tests that are about something else ask again, as `wv fetch` does.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataClient } from '../../src/agent/data-client.ts';
import { type Requester, withRequester as withOneRequester } from '../../src/cli/requester.ts';
import { codeOf } from '../../src/domain/errors.ts';
import { watchStandstill } from '../harness/standstill.ts';

/** With these nothing was done. */
const CANNOT_JUST_NOW: readonly string[] = ['log_unavailable', 'store_unavailable', 'revocation_unknown', 'keeper_deadline'];

export function cannotJustNow(code: string | undefined): boolean {
  return code !== undefined && CANNOT_JUST_NOW.includes(code);
}

/** `work`, and again when the vault could not just then. */
export async function patiently<T>(work: () => Promise<T>, again = 10): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (again === 0 || !cannotJustNow(codeOf(error))) throw error;
    await sleep(200);
    return patiently(work, again - 1);
  }
}

/** The code of what `work` throws, patiently; undefined when it does not. */
export async function refusal(work: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await patiently(work);
    return undefined;
  } catch (error) {
    return codeOf(error);
  }
}

/** A requester whose calls are patient. Not its releases: a challenge is good once, and `newRelease` takes another. */
export function withRequester<T>(folder: string, use: (requester: Requester) => Promise<T>): Promise<T> {
  return withOneRequester(folder, (one) => use({ ...one, client: patient(one.client) }));
}

function patient(client: DataClient): DataClient {
  return new Proxy(client, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== 'function') return member;
      const call = (...asked: unknown[]) => Reflect.apply(member, target, asked);
      return name === 'release' ? call : (...asked: unknown[]) => patiently(async () => call(...asked));
    },
  });
}

/**
 * Waits until `holds`, and answers whether it came true in time. Patient, unless the time is what is promised: a busy machine is slow, and what
 * the vault could not do at once it tries again in a minute.
 */
export async function until(holds: () => boolean | Promise<boolean>, withinMs = 150_000): Promise<boolean> {
  for (const giveUp = performance.now() + withinMs; performance.now() < giveUp; await sleep(50)) if (await holds()) return true;
  return false;
}

interface Watched {
  stoodStillMs(): number;
}

/**
 * Milliseconds from `since` (performance.now()) until `holds`. When they are more than were promised, the time in which that process or this one
 * stood still is taken off: a machine is asked for no promise.
 */
export async function promptly(
  server: Watched,
  promisedMs: number,
  since: number,
  holds: () => boolean | Promise<boolean>,
): Promise<number> {
  const before = server.stoodStillMs();
  let here = 0;
  const stop = watchStandstill((milliseconds) => {
    here += milliseconds;
  });
  await until(holds);
  const took = performance.now() - since;
  const own = () => took - here - (server.stoodStillMs() - before);
  if (took >= promisedMs) await until(() => own() < promisedMs, 2_000); // it says so when it goes on
  stop();
  return took < promisedMs ? took : own();
}

/** `work`, and again when it failed and that process had stood still meanwhile, for long enough to cut what it sends. */
export async function unlessItStoodStill(server: Watched, work: () => Promise<void>, again = 3): Promise<void> {
  const before = server.stoodStillMs();
  try {
    await work();
  } catch (error) {
    const disturbed = () => server.stoodStillMs() - before > 2_000;
    if (again === 0 || !(await until(disturbed, 2_000))) throw error;
    await unlessItStoodStill(server, work, again - 1);
  }
}

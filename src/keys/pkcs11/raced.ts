/**
 * Two keepers that make one ref on one token at once may each find the other's key beside their own; then both take theirs away (`key_raced`), because
 * nothing on a token says who was first. Each waits another while and looks again: one makes the key, the others find it made.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf } from '../../domain/errors.ts';

const TRIES = 6;
const FIRST_PAUSE_MS = 20;

/** Rejects with `key_raced`, which may be tried again, when that never ends. */
export async function untilAlone<T>(make: () => Promise<T>, random: () => number = Math.random): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await make();
    } catch (error) {
      if (codeOf(error) !== 'key_raced' || tried === TRIES) throw error;
      await sleep(FIRST_PAUSE_MS * 2 ** tried * (0.5 + random()));
    }
  }
}

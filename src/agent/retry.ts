/** Trying again: capped exponential backoff with full jitter, until nothing has moved for too long. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DEFAULTS } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';

export interface Patience {
  /** Waits grow from here, doubling, up to `mostMs`. */
  readonly firstMs?: number;
  readonly mostMs?: number;
  /** Without progress for this long, the failure is told. */
  readonly giveUpSeconds?: number;
  /** Called before each wait. */
  readonly onWait?: (error: VaultError, waitMs: number) => void;
}

export interface Retries {
  /** Something moved: the clock and the waits start afresh. */
  progressed(): void;
  /** Waits, when `error` may pass by itself and there is time left; else throws it. Throws the signal's reason when that aborts. */
  waitOr(error: unknown, attempt: number, signal: AbortSignal): Promise<void>;
}

/** One for all that shares a connection: while one stream moves, the others keep their patience. */
export function createRetries(patience: Patience = {}): Retries {
  const { firstMs = 500, mostMs = 30_000, giveUpSeconds = DEFAULTS.retryGiveUpSeconds, onWait = () => {} } = patience;
  let movedAt = performance.now();
  return {
    progressed: () => {
      movedAt = performance.now();
    },
    async waitOr(error, attempt, signal) {
      signal.throwIfAborted();
      if (!(error instanceof VaultError) || !error.retryable || error.code === 'interrupted') throw error;
      // Full jitter: a thousand requesters that lost the same vault must not come back in the same instant.
      const waitMs = Math.random() * Math.min(mostMs, firstMs * 2 ** Math.min(attempt, 16));
      if (performance.now() + waitMs - movedAt > giveUpSeconds * 1000) throw error;
      onWait(error, waitMs);
      await sleep(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
    },
  };
}

/** `work` until it succeeds, or until `retries` has no more patience with it. */
export async function retrying<T>(work: () => Promise<T>, retries: Retries, signal: AbortSignal): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      await retries.waitOr(error, attempt, signal);
    }
  }
}

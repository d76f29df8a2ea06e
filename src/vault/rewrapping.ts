/** Rewraps while the vault serves: batch after batch at the rate that was asked for, then looks once a second whether there is more to do. */
import type { Rewrapper } from './rewrap.ts';

const LOOK_MS = 1_000;

/** Call what it returns to stop; it resolves when the batch under way is done. A round that fails is tried again a second later. */
export function startRewrapping(rewrapper: Rewrapper, onFailure: (error: unknown) => void): () => Promise<void> {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let round: Promise<void> = Promise.resolve();
  const next = (ms: number) => {
    if (stopped) return;
    timer = setTimeout(() => {
      round = once();
    }, ms);
  };
  const once = async () => {
    try {
      const { idle, waitMs } = await rewrapper.round();
      next(idle ? LOOK_MS : waitMs);
    } catch (error) {
      onFailure(error);
      next(LOOK_MS);
    }
  };
  next(LOOK_MS);
  return async () => {
    stopped = true;
    clearTimeout(timer);
    await round;
  };
}

/**
 * Lets a HeadStore trail behind the published log, because it is too slow, or worn too much by writing, to stand before every checkpoint. What
 * was published in the last second may be missing from it; nothing ever waits for it.
 */
import { codeOf, type ErrorCode } from '../domain/errors.ts';
import type { HeadStore } from './port.ts';

export interface TrailingHead extends Pick<HeadStore, 'read'> {
  /** Written within the period, unless a newer one comes before. */
  offer(checkpoint: Uint8Array): void;
  /** Resolves when what was offered is written, or was refused. Never rejects. */
  settle(): Promise<void>;
}

/** These do not change while a process lives: it is said once, and nothing more is offered. */
const CANNOT: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['hsm_mechanism_missing', 'hsm_token_read_only']);

/** `onError` hears of a refusal once, until a write succeeds or is refused otherwise. */
export function createTrailingHead(store: HeadStore, onError: (error: unknown) => void, periodMs = 1_000): TrailingHead {
  let waiting: Uint8Array | undefined;
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();
  let lastAtMs = Number.NEGATIVE_INFINITY; // of performance.now()
  let cannot = false;
  let said: ErrorCode | undefined;

  async function write(): Promise<void> {
    const checkpoint = waiting;
    waiting = undefined;
    if (checkpoint === undefined || cannot) return;
    lastAtMs = performance.now();
    try {
      await store.write(checkpoint);
      said = undefined;
    } catch (error) {
      const code = codeOf(error);
      cannot = CANNOT.has(code);
      if (code !== said) onError(error);
      said = code;
    }
  }

  function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    writing = writing.then(write);
    return writing;
  }

  return {
    read: () => store.read(),
    offer(checkpoint) {
      if (cannot) return;
      waiting = checkpoint;
      timer ??= setTimeout(() => void flush(), Math.max(0, lastAtMs + periodMs - performance.now()));
    },
    settle: flush,
  };
}

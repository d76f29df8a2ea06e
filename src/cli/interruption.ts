import { VaultError } from '../domain/errors.ts';

export interface Interruption extends Disposable {
  /** Aborts with `interrupted` on Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
}

/** While it is held, the first Ctrl-C or SIGTERM lets the command end in order; the second ends the process at once. */
export function watchInterruption(): Interruption {
  const abort = new AbortController();
  const stop = (signal: NodeJS.Signals) => {
    unwatch();
    abort.abort(new VaultError('interrupted', `ended by ${signal}`));
  };
  const unwatch = () => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop);
  return { signal: abort.signal, [Symbol.dispose]: unwatch };
}

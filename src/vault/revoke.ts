/**
 * Promise P3: after `block` is acknowledged no node sends another byte to that requester later than 5 s.
 * Every node reads the list each second, aborts the streams it covers, and aborts all of them when it could not read it for 4 s.
 */
import type { RecordedPermit } from '../domain/access.ts';
import { DEFAULTS } from '../domain/classes.ts';
import type { Clock } from '../domain/clock.ts';
import { type ErrorCode, VaultError } from '../domain/errors.ts';
import type { Stores } from '../stores/port.ts';

export interface StreamGuard {
  /** Aborts when the requester's connection does, and when the release is revoked. */
  readonly signal: AbortSignal;
  /** Throws `release_cut`, `release_expired` or `revocation_unknown` when nothing more may be sent. Asked before every segment. */
  assertLive(): void;
  [Symbol.dispose](): void;
}

export interface Revocations {
  /** Reads the list once; from then on each second until `stop`. Rejects when the first read fails: a node that cannot tell does not serve. */
  start(): Promise<void>;
  stop(): void;
  /** One refresh now: what the timer does each second, and what `block` does on the node that executes it. */
  refresh(): Promise<void>;
  guard(permit: RecordedPermit, signal: AbortSignal, onCut: () => void): StreamGuard;
}

interface Live {
  readonly permit: RecordedPermit;
  readonly abort: AbortController;
}

export function createRevocations(options: {
  readonly stores: Pick<Stores, 'unitOfWork' | 'releases'>;
  readonly clock: Clock;
  /** Called after streams were cut: their keys must not linger. */
  readonly onCut: () => void;
  readonly onStale: (error: unknown) => void;
}): Revocations {
  const { stores, clock } = options;
  const live = new Set<Live>();
  let blocked = new Set<string>();
  let cutFor = new Set<string>();
  let readAt = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let reading: Promise<void> | undefined;

  const stopped = (permit: RecordedPermit): ErrorCode | undefined => {
    if (blocked.has(`${permit.namespace} ${permit.subjectId}`)) return 'release_cut';
    if (clock.now() >= permit.expiresAt) return 'release_expired';
    return clock.monotonicMs() - readAt > DEFAULTS.revocationStaleMs ? 'revocation_unknown' : undefined;
  };
  const cut = () => {
    for (const { permit, abort } of live) {
      const code = stopped(permit);
      if (code !== undefined) abort.abort(new VaultError(code));
    }
    if (!blocked.isSubsetOf(cutFor)) {
      cutFor = blocked;
      setImmediate(options.onCut); // keys that no stream holds; a stream that is cut says so itself when it has returned its lease
    }
  };
  const read = async () => {
    const askedAt = clock.monotonicMs(); // what was true when we asked, not when the answer came
    const blocks = await stores.unitOfWork.run((tx) => stores.releases.blocks(tx));
    blocked = new Set(blocks.map((block) => `${block.namespace} ${block.subjectId}`));
    readAt = askedAt;
  };
  const refresh = () => {
    reading ??= read().finally(() => {
      reading = undefined;
      cut();
    });
    return reading;
  };

  return {
    async start() {
      await refresh();
      timer = setInterval(() => {
        cut(); // a read that hangs must not keep the streams alive
        refresh().catch(options.onStale);
      }, DEFAULTS.revocationRefreshMs);
    },
    stop() {
      clearInterval(timer);
      for (const { abort } of live) abort.abort(new VaultError('revocation_unknown', 'the vault is stopping'));
    },
    async refresh() {
      await reading?.catch(() => undefined); // a read under way may have begun before what we want to see
      await refresh();
    },
    guard(permit, signal, onCut) {
      const abort = new AbortController();
      abort.signal.addEventListener('abort', onCut, { once: true });
      const entry = { permit, abort };
      live.add(entry);
      const assertLive = () => {
        const code = stopped(permit);
        if (code !== undefined) throw new VaultError(code);
      };
      const dispose = () => {
        live.delete(entry);
        if (stopped(permit) === 'release_cut') options.onCut(); // only now has the stream returned its lease
      };
      return { signal: AbortSignal.any([signal, abort.signal]), assertLive, [Symbol.dispose]: dispose };
    },
  };
}

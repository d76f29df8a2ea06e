/**
 * Promise P3: after a stop is acknowledged no node sends another byte of what it covers later than 5 s.
 * Every node reads the stops each second, aborts the streams they cover, and aborts all of them when it could not read them for 4 s.
 */
import type { RecordedPermit } from '../domain/access.ts';
import { DEFAULTS } from '../domain/classes.ts';
import type { Clock } from '../domain/clock.ts';
import { type ErrorCode, VaultError } from '../domain/errors.ts';
import type { KeyName, StopId, VersionId } from '../domain/ids.ts';
import { covers, type KnownStop, kindOf, stopOf } from '../domain/stop.ts';
import type { DekLeases } from '../keys/dek-leases.ts';
import { knownStops } from './stops.ts';
import type { Vault } from './vault.ts';

export interface StreamGuard {
  /** Aborts when the requester's connection does, and when the release is stopped. */
  readonly signal: AbortSignal;
  /** Throws `release_cut`, `release_expired` or `revocation_unknown` when nothing more may be sent. Asked before every segment. */
  assertLive(): void;
  /** The stream reads with a DEK that this KEK version opened: suspending the version cuts it from now on. */
  opensUnder(kek: KeyName): void;
  [Symbol.dispose](): void;
}

export interface Revocations {
  /** Reads the stops once; from then on each second until `stop`. Rejects when the first read fails: a node that cannot tell does not serve. */
  start(): Promise<void>;
  stop(): void;
  /** One refresh now: what the timer does each second, and what placing a stop does on the node that executes it. */
  refresh(): Promise<void>;
  guard(permit: RecordedPermit, signal: AbortSignal, onCut: () => void): StreamGuard;
  /** The stops were not read for so long that every stream is cut: this node must not be sent requests. */
  isStale(): boolean;
}

interface Live {
  readonly permit: RecordedPermit;
  kek?: KeyName;
  readonly abort: AbortController;
}

export function createRevocations(
  options: Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey'> & {
    readonly clock: Clock;
    /** Keys of what is stopped must not linger. */
    readonly deks: Pick<DekLeases, 'wipe' | 'wipeKek' | 'wipeIdle' | 'wipeAll'>;
    readonly onStale: (error: unknown) => void;
    /** Why every stream must end, whatever is stopped or not. */
    readonly mustCut?: () => ErrorCode | undefined;
  },
): Revocations {
  const { stores, clock, deks } = options;
  const live = new Set<Live>();
  const carriedOut = new Set<StopId>();
  let stops: readonly KnownStop[] = [];
  let readAt = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let deadline: NodeJS.Timeout | undefined;
  let reading: Promise<void> | undefined;

  const isStale = () => clock.monotonicMs() - readAt > DEFAULTS.revocationStaleMs;
  const stopped = ({ permit, kek }: Live) => stopOf(stops, kek === undefined ? permit : { ...permit, kek });
  const ended = (entry: Live): ErrorCode | undefined => {
    const { permit } = entry;
    if (stopped(entry) !== undefined) return 'release_cut';
    if (clock.now() >= permit.expiresAt) return 'release_expired';
    return isStale() ? 'revocation_unknown' : options.mustCut?.();
  };
  /** What nobody may read any more goes at once, whoever holds it. A version whose requester is blocked, others may be reading. */
  const wipe = (stop: KnownStop, versions: readonly VersionId[]) => {
    if (stop.scope === 'vault' && !stop.lifted) return deks.wipeAll();
    if (stop.scope === 'key' && !stop.lifted) return deks.wipeKek(stop.target as KeyName);
    if (kindOf(stop) !== 'block' && !stop.lifted) for (const version of versions) deks.wipe(version);
    deks.wipeIdle();
  };
  const cut = () => {
    for (const entry of live) {
      const code = ended(entry);
      if (code !== undefined) entry.abort.abort(new VaultError(code));
    }
    for (const stop of stops) {
      if (carriedOut.has(stop.stopId)) continue;
      carriedOut.add(stop.stopId);
      const versions = [...live].filter(({ permit }) => covers(stop, permit)).map(({ permit }) => permit.versionId);
      setImmediate(wipe, stop, versions); // a stream that is cut wipes for itself when it has returned its lease
    }
  };
  const read = async () => {
    const askedAt = clock.monotonicMs(); // what was true when we asked, not when the answer came
    stops = await stores.unitOfWork.run((tx) => knownStops(tx, options), { ahead: true });
    readAt = askedAt;
    clearTimeout(deadline);
    if (timer !== undefined) deadline = setTimeout(cut, DEFAULTS.revocationStaleMs + 5 - (clock.monotonicMs() - askedAt));
  };
  const refresh = () => {
    reading ??= read().finally(() => {
      reading = undefined;
      cut();
    });
    return reading;
  };

  return {
    isStale,
    async start() {
      timer = setInterval(() => {
        cut(); // expiry; and a read that hangs must not keep the streams alive
        refresh().catch(options.onStale);
      }, DEFAULTS.revocationRefreshMs);
      await refresh().catch((error) => {
        clearInterval(timer);
        throw error;
      });
    },
    stop() {
      clearInterval(timer);
      clearTimeout(deadline);
      timer = undefined;
      for (const { abort } of live) abort.abort(new VaultError('revocation_unknown', 'the vault is stopping'));
    },
    async refresh() {
      await reading?.catch(() => undefined); // a read under way may have begun before what we want to see
      await refresh();
    },
    guard(permit, signal, onCut) {
      const abort = new AbortController();
      abort.signal.addEventListener('abort', onCut, { once: true });
      const entry: Live = { permit, abort };
      live.add(entry);
      const assertLive = () => {
        const code = ended(entry);
        if (code !== undefined) throw new VaultError(code);
      };
      const opensUnder = (kek: KeyName) => {
        entry.kek = kek;
      };
      const dispose = () => {
        live.delete(entry);
        const stop = stopped(entry);
        if (stop !== undefined) wipe(stop, [permit.versionId]); // only now has the stream returned its lease
      };
      return { signal: AbortSignal.any([signal, abort.signal]), assertLive, opensUnder, [Symbol.dispose]: dispose };
    },
  };
}

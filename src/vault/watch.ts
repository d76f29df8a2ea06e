/**
 * What no request tells: the clock, the HSM, a checkpoint that does not come, what expires. Each becomes a record, once in a while and not with
 * every round, so that alert rules can speak of it. Nothing here can refuse or delay anything.
 */
import { loggable, type RecordDraft, type RecordType } from '../audit/record.ts';
import { addSeconds, type Clock } from '../domain/clock.ts';
import type { ErrorCode } from '../domain/errors.ts';
import type { Vault } from './vault.ts';

export type WatchPorts = Pick<Vault, 'stores' | 'accessLog'>;

export interface Watch {
  /** Once a second. Rejects when the store does. */
  tick(): Promise<void>;
  /** Puts it on record, unless the same was in the last minute. Never rejects. */
  note(type: RecordType, about: { readonly reason?: ErrorCode | undefined; readonly detail: string }): Promise<void>;
  /** A key was unwrapped. */
  unwrapped(): void;
}

export interface Expiring {
  readonly name: string;
  readonly from: Date;
  readonly to: Date;
}

export interface WatchOptions {
  readonly clock: Clock;
  /** Certificates and whatever else ends by itself; asked once an hour. */
  readonly expiring: () => Promise<readonly Expiring[]>;
  /** Whether somebody sets the clock of this machine by others. Absent: nobody says. */
  readonly synchronized?: (() => Promise<boolean>) | undefined;
  readonly onFailure: (error: unknown) => void;
}

const STEP_MS = 1_000;
const DRIFT_MS = 500;
const CHECKPOINT_SECONDS = 5;
const QUIET_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Of the life of a certificate. */
const UNSYNCHRONIZED_MS = 600_000;
const LAST_PART = 0.1;
const MINUTE_MS = 60_000;
const UNWRAPS_AT_LEAST = 60;
const TIMES_USUAL = 3;

export function createWatch(vault: WatchPorts, { clock, expiring, synchronized, onFailure }: WatchOptions): Watch {
  const noted = new Map<string, number>();
  const clockWatch = watchClock(clock);
  const unwraps = watchRate(clock);
  let waitingSinceMs: number | undefined;
  let unsynchronizedSinceMs: number | undefined;
  let lookedAtMs = Number.NEGATIVE_INFINITY;

  async function note(
    type: RecordType,
    { reason, detail }: { readonly reason?: ErrorCode | undefined; readonly detail: string },
    quietMs = QUIET_MS,
  ) {
    const key = `${type} ${reason} ${detail}`;
    const now = clock.monotonicMs();
    if (now - (noted.get(key) ?? Number.NEGATIVE_INFINITY) < quietMs) return;
    if (noted.size > 1_000) noted.clear();
    noted.set(key, now);
    const draft: RecordDraft = { type, outcome: 'failure', actor: { kind: 'system' }, reason, detail: loggable(detail, 256) };
    await vault.stores.unitOfWork.run((tx) => vault.accessLog.append(tx, draft)).catch(onFailure);
  }

  /** Records that wait for a signature, round after round. */
  async function lookAtCheckpoint(): Promise<void> {
    const { unitOfWork, log } = vault.stores;
    const waiting = await unitOfWork.run(async (tx) => (await log.assignedSize(tx)) - ((await log.head(tx))?.size ?? 0));
    const now = clock.monotonicMs();
    waitingSinceMs = waiting > 0 ? (waitingSinceMs ?? now) : undefined;
    if (waitingSinceMs !== undefined && now - waitingSinceMs > CHECKPOINT_SECONDS * 1000)
      await note('log.lagging', { detail: 'checkpoint' });
  }

  /** A moment without is no loss: daemons restart. */
  async function lookAtSynchronization(): Promise<void> {
    if (synchronized === undefined) return;
    const now = clock.monotonicMs();
    unsynchronizedSinceMs = (await synchronized()) ? undefined : (unsynchronizedSinceMs ?? now);
    if (unsynchronizedSinceMs !== undefined && now - unsynchronizedSinceMs > UNSYNCHRONIZED_MS)
      await note('clock.anomaly', { detail: 'not synchronized for more than 10 minutes' }, HOUR_MS);
  }

  async function lookAtDates(): Promise<void> {
    const now = clock.now();
    for (const { name, from, to } of await expiring()) {
      const near = addSeconds(to, (-LAST_PART * (to.getTime() - from.getTime())) / 1000);
      if (now >= near) await note('expiry.near', { detail: `${name} ends ${to.toISOString()}` }, 24 * HOUR_MS);
    }
  }

  return {
    note,
    unwrapped: unwraps.count,
    async tick() {
      const wrong = clockWatch();
      if (wrong !== undefined) await note('clock.anomaly', { detail: wrong });
      const surge = unwraps.surge();
      if (surge !== undefined) await note('hsm.event', { detail: surge });
      await lookAtCheckpoint();
      await lookAtSynchronization();
      if (clock.monotonicMs() - lookedAtMs < HOUR_MS) return;
      lookedAtMs = clock.monotonicMs();
      await lookAtDates();
    },
  };
}

/** Compares the wall clock with the one that only goes forward: a step between two looks, or a drift since the last hour. */
function watchClock(clock: Clock): () => string | undefined {
  const read = () => ({ wall: clock.now().getTime(), mono: clock.monotonicMs() });
  let base = read();
  let last = base;
  return () => {
    const now = read();
    const step = now.wall - last.wall - (now.mono - last.mono);
    const drift = now.wall - base.wall - (now.mono - base.mono);
    last = now;
    const wrong =
      Math.abs(step) > STEP_MS
        ? `step of ${Math.round(step)} ms`
        : Math.abs(drift) > DRIFT_MS
          ? `drift of ${Math.round(drift)} ms`
          : undefined;
    if (wrong !== undefined || now.mono - base.mono > HOUR_MS) base = now;
    return wrong;
  };
}

/** Counts by the minute, and knows what is usual: a running mean of the last quarter of an hour. */
function watchRate(clock: Clock): { count(): void; surge(): string | undefined } {
  let [inMinute, usual, began] = [0, 0, clock.monotonicMs()];
  return {
    count: () => void inMinute++,
    surge() {
      if (clock.monotonicMs() - began < MINUTE_MS) return undefined;
      const [counted, before] = [inMinute, usual];
      began = clock.monotonicMs();
      inMinute = 0;
      usual = before + (counted - before) / 15;
      const surge = counted >= UNWRAPS_AT_LEAST && before > 0 && counted > TIMES_USUAL * before;
      return surge ? `${counted} unwraps in a minute, usually ${Math.round(before)}` : undefined;
    },
  };
}

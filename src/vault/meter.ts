/** How many bytes each release moved through this process. Flushed every second: what a crash can lose is one second's count. */
import type { RecordedPermit } from '../domain/access.ts';
import type { Incarnation, ReleaseId } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import type { ProgressRow } from '../releases/port.ts';
import type { Stores } from '../stores/port.ts';

export interface StreamMeter {
  /** Writes, in the caller's transaction, that a stream is open: from then on the release does not end under it. */
  enter(tx: Tx): Promise<void>;
  /** The range is below 1 MiB and not the whole object. */
  small(): void;
  /** Plaintext bytes about to be handed to the connection. */
  count(bytes: number): void;
  /** The stream reached its end; `whole` when it was a whole object. */
  complete(whole: boolean): void;
  /** Ends the stream; one that was not complete counts as aborted. */
  [Symbol.dispose](): void;
}

export interface ReleaseMeter {
  open(permit: RecordedPermit): StreamMeter;
  /** Writes what changed since the last flush. Rejects when the store does; the figures are kept for the next one. */
  flush(): Promise<void>;
}

interface Figures {
  bytes: number;
  completedObjects: number;
  abortedStreams: number;
  activeStreams: number;
  smallRanges: number;
  changed: boolean;
  /** Milliseconds since 1970; an idle release past it is forgotten, for nothing can be added to it any more. */
  readonly expiresAt: number;
}

export function createReleaseMeter(stores: Pick<Stores, 'unitOfWork' | 'releases'>, node: Incarnation): ReleaseMeter {
  const releases = new Map<ReleaseId, Figures>();

  const figuresOf = ({ releaseId, expiresAt }: RecordedPermit): Figures => {
    const fresh = {
      bytes: 0,
      completedObjects: 0,
      abortedStreams: 0,
      activeStreams: 0,
      smallRanges: 0,
      changed: false,
      expiresAt: expiresAt.getTime(),
    };
    const figures = releases.get(releaseId) ?? fresh;
    releases.set(releaseId, figures);
    return figures;
  };
  const rowOf = ({ bytes, completedObjects, abortedStreams, activeStreams, smallRanges }: Figures): ProgressRow => ({
    node,
    bytes,
    completedObjects,
    abortedStreams,
    activeStreams,
    smallRanges,
  });
  /** Runs in the same transaction as the flush, with the database's time. */
  const forgetPast = (now: Date) => {
    for (const [releaseId, figures] of releases) {
      const over = figures.activeStreams === 0 && !figures.changed && figures.expiresAt < now.getTime();
      if (over) releases.delete(releaseId);
    }
  };

  return {
    open(permit) {
      const figures = figuresOf(permit);
      let done = false;
      const change = (apply: () => void) => {
        apply();
        figures.changed = true;
      };
      change(() => figures.activeStreams++);
      return {
        enter: (tx) => stores.releases.recordProgress(tx, permit.releaseId, rowOf(figures)),
        small: () => change(() => figures.smallRanges++),
        count: (bytes) => change(() => (figures.bytes += bytes)),
        complete: (whole) => {
          done = true;
          if (whole) change(() => figures.completedObjects++);
        },
        [Symbol.dispose]: () =>
          change(() => {
            figures.activeStreams--;
            if (!done) figures.abortedStreams++;
          }),
      };
    },
    async flush() {
      const changed = [...releases].filter(([, figures]) => figures.changed);
      for (const [, figures] of changed) figures.changed = false;
      try {
        const now = await stores.unitOfWork.run(async (tx) => {
          for (const [releaseId, figures] of changed) await stores.releases.recordProgress(tx, releaseId, rowOf(figures));
          return tx.now;
        });
        forgetPast(now);
      } catch (error) {
        for (const [, figures] of changed) figures.changed = true;
        throw error;
      }
    },
  };
}

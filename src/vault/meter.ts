/** How many bytes each release moved through this process. Flushed every second: what a crash can lose is one second's count. */
import type { RecordedPermit } from '../domain/access.ts';
import type { Incarnation, ReleaseId } from '../domain/ids.ts';
import type { ProgressRow } from '../releases/port.ts';
import type { Stores } from '../stores/port.ts';

export interface StreamMeter {
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

type Figures = { -readonly [K in keyof Omit<ProgressRow, 'node'>]: number } & { changed: boolean };

export function createReleaseMeter(stores: Pick<Stores, 'unitOfWork' | 'releases'>, node: Incarnation): ReleaseMeter {
  const releases = new Map<ReleaseId, Figures>();

  const figuresOf = (id: ReleaseId): Figures => {
    const figures = releases.get(id) ?? { bytes: 0, completedObjects: 0, abortedStreams: 0, activeStreams: 0, changed: false };
    releases.set(id, figures);
    return figures;
  };

  return {
    open({ releaseId }) {
      const figures = figuresOf(releaseId);
      let done = false;
      const change = (apply: () => void) => {
        apply();
        figures.changed = true;
      };
      change(() => figures.activeStreams++);
      return {
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
      if (changed.length === 0) return;
      const rows = changed.map(([releaseId, { changed: _, ...figures }]) => ({ releaseId, row: { node, ...figures } }));
      for (const [, figures] of changed) figures.changed = false;
      try {
        await stores.unitOfWork.run(async (tx) => {
          for (const { releaseId, row } of rows) await stores.releases.recordProgress(tx, releaseId, row);
        });
      } catch (error) {
        for (const [, figures] of changed) figures.changed = true;
        throw error;
      }
    },
  };
}

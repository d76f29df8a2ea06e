/** Reads what makers publish again, from the addresses in the configuration and apart from every request. Off unless they are set. */
import { type FetchPublication, type PublicationSource, readSource } from '../attestation/publications/sources.ts';
import { keepCollateral } from './collateral.ts';

export interface Refreshing {
  readonly sources: readonly PublicationSource[];
  readonly everyHours: number;
  readonly fetch: FetchPublication;
  /** Told for each source that gave nothing: what was kept before goes on being used. */
  onProblem(source: PublicationSource, error: unknown): void;
}

/** For whoever starts this. */
export { createFetchPublication } from '../attestation/publications/fetch-publication.ts';

type Ports = Parameters<typeof keepCollateral>[2];

/** Once now, then every so many hours. Resolves of the returned function when nothing of it runs any more. */
export function startRefreshing(vault: Ports, refreshing: Refreshing): () => Promise<void> {
  let stopped = false;
  let round = refreshOnce(vault, refreshing, () => stopped);
  const timer = setInterval(() => {
    round = round.then(() => refreshOnce(vault, refreshing, () => stopped));
  }, refreshing.everyHours * 3_600_000);
  timer.unref();
  return async () => {
    stopped = true;
    clearInterval(timer);
    await round;
  };
}

/** One source after the other. Never rejects. */
export async function refreshOnce(vault: Ports, { sources, fetch, onProblem }: Refreshing, isStopped = () => false): Promise<void> {
  for (const source of sources) {
    if (isStopped()) return;
    try {
      for (const publication of await readSource(source, fetch)) {
        const { state, type, key } = await keepCollateral({ actor: { kind: 'system' } }, publication, vault);
        if (state === 'rollback') throw new Error(`${type} ${key}: older by its own count than what is kept, and not taken`);
      }
    } catch (error) {
      onProblem(source, error);
    }
  }
}

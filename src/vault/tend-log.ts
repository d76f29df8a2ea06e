/** What is done for the log beside the releases: summaries for the next start, and the slow scrub. Nothing waits for either. */
import { setTimeout as sleep } from 'node:timers/promises';
import { contradictsLog } from '../audit/round.ts';
import type { ReadTile } from '../audit/tiles.ts';
import { codeOf, VaultError } from '../domain/errors.ts';
import type { Recollection } from './recollect.ts';
import { scrubLog } from './scrub-log.ts';
import { summarizeLog } from './summarize-log.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'logKey'>;

export interface Tending {
  /** The stored log is not the one that was signed. */
  readonly onContradiction: (error: VaultError) => void;
  /** It will be tried again. */
  readonly onFailure: (error: unknown) => void;
  /** After each bundle of 256 records, which take some 4 ms: so that a twentieth of a core is used, 4,000 records a second. */
  readonly pauseMs?: number;
  readonly everyMs?: { readonly summary: number; readonly scrub: number };
  readonly summaryRecords?: number;
}

const EVERY_MS = { summary: 60_000, scrub: 3_600_000 };

/** `known`: what the start found. When it left records to a summary, they are looked at from now on. Call what it returns to stop. */
export function tendLog(known: Recollection, vault: Ports, tending: Tending): () => Promise<void> {
  const { pauseMs = 60, everyMs = EVERY_MS } = tending;
  const stopping = new AbortController();
  const pause = (ms: number) => sleep(ms, undefined, { signal: stopping.signal });
  const read: ReadTile = async (path) => {
    if (path.startsWith('tile/entries/')) await pause(pauseMs);
    return vault.stores.unitOfWork.run((tx) => vault.stores.log.tile(tx, path));
  };
  let memory = known;
  const summarize = async () => {
    memory = await summarizeLog(memory, vault, vault.logKey, read, tending.summaryRecords);
  };
  const scrub = async () => {
    const found = await scrubLog(vault, vault.logKey, read);
    if (found !== undefined) throw new VaultError(found.code, found.detail);
  };
  const loops = [
    again(summarize, { firstMs: 0, everyMs: everyMs.summary }, { ...tending, stopping, pause }),
    again(scrub, { firstMs: known.summarized > 0 ? 0 : everyMs.scrub, everyMs: everyMs.scrub }, { ...tending, stopping, pause }),
  ];
  return async () => {
    stopping.abort();
    await Promise.all(loops);
  };
}

interface Loop extends Tending {
  readonly stopping: AbortController;
  readonly pause: (ms: number) => Promise<void>;
}

/** Until it is stopped, or has found what cannot become right again. Never rejects. */
async function again(work: () => Promise<void>, { firstMs, everyMs }: { readonly firstMs: number; readonly everyMs: number }, loop: Loop) {
  for (let waitMs = firstMs; ; waitMs = everyMs) {
    try {
      await loop.pause(waitMs);
      await work();
    } catch (error) {
      if (loop.stopping.signal.aborted) return;
      if (error instanceof VaultError && contradictsLog(codeOf(error))) return loop.onContradiction(error);
      loop.onFailure(error);
    }
  }
}

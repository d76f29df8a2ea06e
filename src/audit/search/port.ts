/**
 * SearchStore: what makes the log searchable. A cache, made from the leaves alone: it can be emptied at any time and is the same after it was
 * filled again. Suite: test/contract/search-store.ts.
 */
import type { Tx } from '../../domain/unit-of-work.ts';

/** Names one thing that a leaf can say, `principal=...`: 52 bits of a SHA-256. Two things may share one, so what is found is looked at again. */
export type SearchTerm = number;

export interface SearchEntry {
  readonly index: number;
  readonly timeMs: number;
  /** Plaintext bytes of a release that ended; else 0. */
  readonly bytes: number;
  readonly terms: readonly SearchTerm[];
  readonly tally: TallyKey;
}

/** What is counted, day by day. Empty where a leaf does not say it. */
export interface TallyKey {
  /** ISO 8601 date, UTC. */
  readonly day: string;
  readonly namespace: string;
  readonly type: string;
  readonly outcome: string;
  readonly reason: string;
}

export interface Tally extends TallyKey {
  readonly records: number;
  readonly bytes: number;
}

export interface SearchStep {
  /** All of them. */
  readonly terms: readonly SearchTerm[];
  readonly fromMs?: number | undefined;
  /** Inclusive, like `fromMs`. */
  readonly toMs?: number | undefined;
  readonly minBytes?: number | undefined;
  readonly order: 'newest' | 'oldest';
  /** First index to look at, in that order. */
  readonly start: number;
  readonly limit: number;
}

export interface FoundStep {
  /** In the order that was asked for. */
  readonly indexes: readonly number[];
  /** Where to go on; absent when there is nothing more. */
  readonly next?: number;
}

export interface SearchStore {
  /** Each leaf once. */
  add(tx: Tx, entries: readonly SearchEntry[]): Promise<void>;
  /** A bounded piece of a search, a few milliseconds at most, however long the log: so it may find nothing and still have a `next`. */
  find(tx: Tx, step: SearchStep): Promise<FoundStep>;
  /** By day, then the rest. `fromDay` and `toDay` are inclusive. */
  tallies(
    tx: Tx,
    asked: { readonly fromDay: string; readonly toDay: string; readonly namespace?: string | undefined },
  ): Promise<readonly Tally[]>;
  /** Takes these out again, as they were added: their leaves are pruned. What was counted by day stays counted. */
  remove(tx: Tx, entries: readonly SearchEntry[]): Promise<void>;
  /** Takes out at most about `most` rows; true while there are more. Until it says false, what was counted by day stays counted. */
  clear(tx: Tx, most: number): Promise<boolean>;
}

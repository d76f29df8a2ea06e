/** LogStore: outbox, leaves, tiles and checkpoints of the access log; CursorStore: how far its readers are. Suites: test/contract/{log,cursor}-store.ts. */
import type { Incarnation, LeafIndex, RecordId, TreeSize } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';

export interface LeafRow {
  readonly index: LeafIndex;
  readonly recordId: RecordId;
  /** The leaf's bytes exactly as they were hashed and will be published. */
  readonly leaf: Uint8Array;
}

/** A tile or entry bundle by its C2SP tlog-tiles path, e.g. `tile/0/000.p/7` or `tile/entries/000`. */
export interface TileRow {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** A salted commitment opened; kept apart from the leaf so that it can be erased while every proof stays valid. */
export interface Disclosure {
  readonly recordId: RecordId;
  readonly field: string;
  /** 16 random bytes. */
  readonly salt: Uint8Array;
  readonly value: string;
}

export interface Erased {
  readonly records: number;
  readonly disclosures: number;
}

export interface PublishedHead {
  readonly size: TreeSize;
  /** The signed note, UTF-8. */
  readonly checkpoint: Uint8Array;
}

/** What the first records say, found once and signed (documents/log-summary.ts). The store keeps it; who reads it verifies it. */
export interface KeptSummary {
  readonly bytes: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * The last checkpoint this vault signed, kept apart from the database: a database that was put back to an older state is noticed, because
 * its log is shorter than, or not the beginning of, what was signed.
 */
export interface HeadStore {
  /** Undefined before the first. Throws `log_head_missing` when what keeps it is gone, `log_unavailable` when it cannot be read: neither means that there is none. */
  read(): Promise<Uint8Array | undefined>;
  /** Durable when it resolves. Called before the checkpoint is published. */
  write(checkpoint: Uint8Array): Promise<void>;
}

/** Something small that is kept apart from the database, for the day on which the database is not believed. */
export interface KeptBytes {
  /** Undefined when there is none, or it cannot be read. */
  read(): Promise<Uint8Array | undefined>;
  /** Durable when it resolves. */
  write(bytes: Uint8Array): Promise<void>;
}

/**
 * The log in two steps. `append` inside the business transaction: the record is *durable* when that transaction commits and can
 * then never be lost. The sequencer, one at a time by lease, gives the appended leaves their indexes (`assign`, durable before anything is
 * signed, so one size can never have two roots) and publishes tiles with a checkpoint (`publish`): then they are *committed*.
 */
export interface LogStore {
  append(tx: Tx, recordId: RecordId, leaf: Uint8Array, disclosures: readonly Disclosure[]): Promise<void>;
  /** True when `holder` has the sequencer's lease until `until`: it was free, expired by the database's time, or its own. */
  acquireSequencer(tx: Tx, holder: Incarnation, until: Date): Promise<boolean>;
  /** Gives the oldest appended leaves, at most `limit`, the next indexes without a gap, in the order in which they were appended. */
  assign(tx: Tx, limit: number): Promise<number>;
  /** Number of leaves that have an index. */
  assignedSize(tx: Tx): Promise<TreeSize>;
  /** The leaf that was appended last, with an index or without; undefined in an empty log. */
  newestLeaf(tx: Tx): Promise<Uint8Array | undefined>;
  /** Leaves [start, end), in order; fewer only where they do not exist. */
  leaves(tx: Tx, start: number, end: number): Promise<readonly LeafRow[]>;
  /** Replaces tiles of the same path, and narrower ones of the same tile, and sets the head; false (and no change) when the head's size is not `previous` or would not grow. */
  publish(tx: Tx, previous: TreeSize, head: PublishedHead, tiles: readonly TileRow[]): Promise<boolean>;
  head(tx: Tx): Promise<PublishedHead | undefined>;
  /** The newest checkpoint that a quorum of witnesses cosigned, with their lines. */
  witnessed(tx: Tx): Promise<PublishedHead | undefined>;
  /** Keeps it; false, and no change, when a larger one is kept or the log's head is smaller. */
  publishWitnessed(tx: Tx, head: PublishedHead): Promise<boolean>;
  /**
   * Replaces the checkpoint by one of the same size, of another key; false when the size is another. Only for a recovery. The witnessed one, of
   * the key before, is forgotten.
   */
  resignHead(tx: Tx, head: PublishedHead): Promise<boolean>;
  /** A partial tile also after a wider one, or the full one, was published: the beginning of that. */
  tile(tx: Tx, path: string): Promise<Uint8Array | undefined>;
  summary(tx: Tx): Promise<KeptSummary | undefined>;
  /** In place of the one before. */
  putSummary(tx: Tx, summary: KeptSummary): Promise<void>;
  leafByRecord(tx: Tx, recordId: RecordId): Promise<{ readonly leaf: Uint8Array; readonly index?: LeafIndex } | undefined>;
  disclosures(tx: Tx, recordId: RecordId): Promise<readonly Disclosure[]>;
  /** Deletes the disclosures, all fields, of every record that commits to this administrator's name. The leaves stay as they are. */
  eraseDisclosuresOf(tx: Tx, administratorName: string): Promise<Erased>;
  /** The same of records that were made before `time`, the oldest first, at most `limit` records. How many disclosures. */
  eraseDisclosuresBefore(tx: Tx, time: Date, limit: number): Promise<number>;
  /** Records below this index were pruned, but for bundles that stay; a multiple of 256. */
  prunedBefore(tx: Tx): Promise<number>;
  /** Whether the records of this bundle (256 of them, from `bundle * 256` on) were removed. */
  isPruned(tx: Tx, bundle: number): Promise<boolean>;
  /** Removes the records of these bundles, their disclosures and entry bundles, and moves `prunedBefore` on to `before`. Hashes stay. */
  prune(tx: Tx, bundles: readonly number[], before: number): Promise<void>;
}

/** Names one reader of the log. */
export type CursorName = 'search' | 'alerts' | `sink/${string}`;

export interface Cursor {
  readonly name: CursorName;
  /** Index of the first record that the reader has not dealt with. */
  readonly next: number;
  /** Who had it last, and until when. */
  readonly holder: Incarnation;
  readonly leaseUntil: Date;
}

export interface CursorLease {
  readonly name: CursorName;
  readonly holder: Incarnation;
  readonly until: Date;
  readonly next: number;
}

export interface CursorStep {
  readonly name: CursorName;
  readonly holder: Incarnation;
  readonly from: number;
  readonly to: number;
}

/** How far the readers of the log are (follower.ts). One process at a time has a cursor, by a lease like the sequencer's. */
export interface CursorStore {
  /** Undefined before the first `acquire`. */
  cursor(tx: Tx, name: CursorName): Promise<Cursor | undefined>;
  /** True when `holder` has the cursor until `until`: it was free, expired by the database's time, or its own. Makes it, at `next`, when there is none. */
  acquire(tx: Tx, asked: CursorLease): Promise<boolean>;
  /** Moves it; false, and no change, unless `holder` had it last and it stands at `from`. */
  move(tx: Tx, step: CursorStep): Promise<boolean>;
  /** Gives the lease back, when it is `holder`'s. */
  release(tx: Tx, name: CursorName, holder: Incarnation): Promise<void>;
  /** Forgets it, whoever has it: a reader then begins anew, and one that is under way cannot move it any more. */
  drop(tx: Tx, name: CursorName): Promise<void>;
  /** All of them, by name. */
  all(tx: Tx): Promise<readonly Cursor[]>;
}

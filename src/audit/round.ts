/** One round of the sequencer: lease, assign, read back and compare, sign, publish. */
import { equalBytes } from '../domain/bytes.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { addSeconds } from '../domain/clock.ts';
import { codeOf, type ErrorCode, VaultError } from '../domain/errors.ts';
import type { Incarnation, TreeSize } from '../domain/ids.ts';
import type { UnitOfWork } from '../domain/unit-of-work.ts';
import { openCheckpoint, signCheckpoint } from './checkpoint.ts';
import { EMPTY_ROOT, leafHash } from './merkle.ts';
import type { SignText } from './note.ts';
import type { HeadStore, LeafRow, LogStore, PublishedHead, TileRow } from './port.ts';
import type { SequencerEvent } from './sequencer.ts';
import { TILE_WIDTH, tileAt } from './tile-path.ts';
import { growTiles, type ReadTile, readHashTile, rootFromTiles } from './tiles.ts';
import type { TrailingHead } from './trailing-head.ts';
import type { VerifierKey } from './vkey.ts';

export type RoundResult =
  | 'published'
  | 'nothing'
  /** Another node holds the lease. */
  | 'standby'
  | 'conflict'
  | 'failed'
  | 'halted';

export interface RoundOutcome {
  readonly result: RoundResult;
  readonly event?: SequencerEvent;
  /** The batch was full: there is probably more to publish. */
  readonly more?: boolean;
}

export interface RoundOptions {
  readonly unitOfWork: UnitOfWork;
  readonly log: LogStore;
  readonly key: VerifierKey;
  readonly sign: SignText;
  readonly node: Incarnation;
  readonly batch: number;
  readonly heads?: HeadStore | undefined;
  readonly trailing?: TrailingHead | undefined;
}

/** A tree head this process has signed or seen published. The log may never again contradict it. */
interface KnownHead {
  readonly size: number;
  readonly root: Uint8Array;
}

/** What the store holds at the start of a round: the head, and the leaves from the last published tile on. */
interface Stored {
  readonly head: PublishedHead | undefined;
  readonly assigned: TreeSize;
  readonly rows: readonly LeafRow[];
}

/** What one round works on: the published head, the leaves that come next, and the root and tiles they make. */
interface Staged {
  readonly previous: TreeSize;
  readonly size: TreeSize;
  readonly root: Uint8Array;
  readonly tiles: readonly TileRow[];
}

/** These say that stored bytes are not what was signed: trying again cannot help, and signing would hide it. */
const FATAL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'log_entry_mismatch',
  'log_tile_mismatch',
  'log_root_mismatch',
  'log_incomplete',
  'log_conflict',
  'log_rolled_back',
  'log_head_missing',
  'note_malformed',
  'note_signature_invalid',
]);

/** Whether an error says that the stored log is not the one that was signed. */
export function contradictsLog(code: ErrorCode): boolean {
  return FATAL.has(code);
}

export interface Rounds {
  run(): Promise<RoundOutcome>;
  handOver(): Promise<void>;
  compared(): boolean;
}

export function createRounds(options: RoundOptions): Rounds {
  const { unitOfWork, log, node } = options;
  let known: KnownHead | undefined;

  async function run(): Promise<RoundOutcome> {
    try {
      known ??= await keptHead(options);
      if (!(await leaseAndAssign(options))) return { result: 'standby' };
      const stored = await readBack(options, known);
      known = await assertHead(options, stored.head, known);
      const staged = await stage(options, stored, known);
      if (staged === undefined) return { result: 'nothing' };
      const signed = await signStaged(options, staged);
      if ('result' in signed) return signed;
      known = { size: staged.size, root: staged.root }; // from here on this size has this root, published or not
      await options.heads?.write(signed.checkpoint);
      const outcome = await publish(options, staged, signed.checkpoint);
      if (outcome.result === 'published') options.trailing?.offer(signed.checkpoint);
      return outcome;
    } catch (error) {
      return failure('store', error);
    }
  }

  /** Gives the lease back by letting it end now. A failure costs the next node the rest of the lease, nothing more. */
  async function handOver(): Promise<void> {
    await unitOfWork.run((tx) => log.acquireSequencer(tx, node, tx.now)).catch(() => undefined);
  }

  return { run, handOver, compared: () => known !== undefined };
}

/** What was signed before this process began. Whoever holds the lease: a store that is behind it, or is another log, is no store to serve from. */
async function keptHead(options: RoundOptions): Promise<KnownHead> {
  let newest: KnownHead = { size: 0, root: EMPTY_ROOT };
  for (const store of [options.heads, options.trailing]) {
    const kept = await store?.read();
    if (kept === undefined) continue;
    const { size, root } = openKept(kept, options.key);
    if (size === newest.size && !equalBytes(root, newest.root))
      throw new VaultError('log_conflict', `size ${size} was signed with two roots`);
    const known = await continues(options, { size, root });
    if (known.size > newest.size) newest = known;
  }
  return newest;
}

/** Whoever reads the message of a refused start must know which checkpoint it is about. */
function openKept(kept: Uint8Array, key: VerifierKey): KnownHead {
  try {
    return openCheckpoint(kept, key);
  } catch (cause) {
    throw new VaultError(codeOf(cause), `the checkpoint that is kept apart: ${cause instanceof VaultError ? cause.detail : 'unreadable'}`, {
      cause,
    });
  }
}

async function continues(options: RoundOptions, { size, root }: KnownHead): Promise<KnownHead> {
  const { unitOfWork, log } = options;
  const stored = await unitOfWork.run(async (tx) => ({ head: await log.head(tx), assigned: await log.assignedSize(tx) }));
  if (stored.assigned < size)
    throw new VaultError('log_rolled_back', `the store holds ${stored.assigned} records, but ${size} were signed`);
  return assertHead(options, stored.head, { size, root });
}

/** Indexes are durable when this resolves, before anything is signed: one size can never get two roots. */
function leaseAndAssign(options: RoundOptions): Promise<boolean> {
  const { unitOfWork, log, batch } = options;
  return unitOfWork.run(async (tx) => {
    if (!(await lease(options, tx))) return false;
    await log.assign(tx, batch);
    return true;
  });
}

function lease({ log, node }: RoundOptions, tx: Parameters<LogStore['acquireSequencer']>[0]): Promise<boolean> {
  return log.acquireSequencer(tx, node, addSeconds(tx.now, DEFAULTS.nodeLeaseSeconds));
}

/** Leaves are read back in a transaction of their own: what is hashed and signed is what the store will give to anyone else. */
function readBack({ unitOfWork, log, batch }: RoundOptions, known: KnownHead): Promise<Stored> {
  return unitOfWork.run(async (tx) => {
    const head = await log.head(tx);
    const size = head?.size ?? 0;
    const assigned = await log.assignedSize(tx);
    // A checkpoint that was signed but not published is published first, at exactly its size.
    const end = known.size > size ? known.size : Math.min(assigned, size + batch);
    return { head, assigned, rows: await log.leaves(tx, lastTileStart(size), end) };
  });
}

/** The published head must be ours, have the root that the tiles have, and continue the head this process knows. Returns the newer of both. */
async function assertHead(options: RoundOptions, head: PublishedHead | undefined, known: KnownHead): Promise<KnownHead> {
  if (head === undefined) return known;
  const read = tileReader(options);
  const { size, root } = openCheckpoint(head.checkpoint, options.key);
  if (size !== head.size) throw new VaultError('log_root_mismatch', 'the head is stored under another size than it states');
  if (!equalBytes(await rootFromTiles(size, size, read), root))
    throw new VaultError('log_root_mismatch', 'the tiles do not have the published root');
  if (known.size > size) return known;
  if (!equalBytes(await rootFromTiles(known.size, size, read), known.root)) {
    throw new VaultError('log_conflict', `the published log does not continue the one known at size ${known.size}`);
  }
  return { size, root };
}

async function stage(options: RoundOptions, { head, assigned, rows }: Stored, known: KnownHead): Promise<Staged | undefined> {
  const read = tileReader(options);
  const previous = (head?.size ?? 0) as TreeSize; // a head's size is a tree size, and so is 0
  const fresh = await unpublished(previous, rows, read);
  const size = (previous + fresh.length) as TreeSize; // as many leaves as were read
  if (size < known.size) throw new VaultError('log_conflict', `the store holds ${size} leaves, but ${known.size} were signed`);
  if (size < assigned && fresh.length === 0) throw new VaultError('log_incomplete', 'leaves that have an index are missing');
  if (fresh.length === 0) return undefined;
  const tiles = await growTiles(previous, fresh, read);
  const root = await rootFromTiles(size, size, overlay(tiles, read));
  if (size === known.size && !equalBytes(root, known.root))
    throw new VaultError('log_conflict', `size ${size} was signed with another root`);
  return { previous, size, root, tiles };
}

/** Re-hashes the published leaves of the last tile against it; returns the leaves after them. */
async function unpublished(size: number, rows: readonly LeafRow[], read: ReadTile): Promise<readonly Uint8Array[]> {
  const first = lastTileStart(size);
  const gap = rows.findIndex((row, at) => row.index !== first + at);
  if (gap >= 0 || first + rows.length < size) throw new VaultError('log_incomplete', 'published leaves are missing from the store');
  const tile = size === 0 ? undefined : tileAt(size, 0, Math.floor(first / TILE_WIDTH));
  const hashes = tile === undefined ? [] : await readHashTile(tile, read);
  for (const [at, hash] of hashes.entries()) {
    const row = rows[at];
    if (row === undefined || !equalBytes(leafHash(row.leaf), hash))
      throw new VaultError('log_entry_mismatch', `leaf ${first + at} is not what was signed`);
  }
  return rows.slice(hashes.length).map((row) => row.leaf);
}

/** First leaf of the tile that holds the last published one. */
function lastTileStart(size: number): number {
  return size === 0 ? 0 : Math.floor((size - 1) / TILE_WIDTH) * TILE_WIDTH;
}

async function signStaged(
  { key, sign }: RoundOptions,
  { size, root }: Staged,
): Promise<{ readonly checkpoint: Uint8Array } | RoundOutcome> {
  try {
    return { checkpoint: await signCheckpoint(size, root, key, sign) };
  } catch (error) {
    // The HSM may be back in the next round, and a wrong signature was thrown away: nothing here is fatal.
    return { result: 'failed', event: { kind: 'round_failed', severity: 'warning', step: 'sign', code: codeOf(error), error } };
  }
}

/** Only while the lease is ours, and only onto the head that was extended. */
async function publish(options: RoundOptions, { previous, size, tiles }: Staged, checkpoint: Uint8Array): Promise<RoundOutcome> {
  const done = await options.unitOfWork.run(
    async (tx) => (await lease(options, tx)) && (await options.log.publish(tx, previous, { size, checkpoint }, tiles)),
  );
  if (!done) return { result: 'conflict', event: { kind: 'conflict', severity: 'warning' } };
  return { result: 'published', event: { kind: 'published', severity: 'info', size }, more: size - previous >= options.batch };
}

function failure(step: 'store', error: unknown): RoundOutcome {
  const code = codeOf(error);
  if (FATAL.has(code)) return { result: 'halted', event: { kind: 'halted', severity: 'critical', code, error } };
  return { result: 'failed', event: { kind: 'round_failed', severity: 'warning', step, code, error } };
}

function tileReader({ unitOfWork, log }: RoundOptions): ReadTile {
  return (path) => unitOfWork.run((tx) => log.tile(tx, path));
}

function overlay(tiles: readonly TileRow[], below: ReadTile): ReadTile {
  const fresh = new Map(tiles.map(({ path, bytes }) => [path, bytes]));
  return async (path) => fresh.get(path) ?? below(path);
}

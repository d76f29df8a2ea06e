/**
 * How far a record has come: *durable* when its transaction committed, *committed* under a signed checkpoint, *witnessed* under one that a quorum of
 * witnesses cosigned. Nobody's word is taken for the last two, the store's neither: what counts is a proof that verifies.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { equalBytes } from '../domain/bytes.ts';
import type { RecordLevel } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import type { RecordId } from '../domain/ids.ts';
import { LruMap } from '../domain/lru-map.ts';
import type { Tx, UnitOfWork } from '../domain/unit-of-work.ts';
import { cosignaturesOf, type WitnessPolicy } from './cosignature.ts';
import { parseLeaf } from './leaf.ts';
import type { LogStore } from './port.ts';
import { makeReceipt, openReceipt } from './receipt.ts';
import { formatVkey, type VerifierKey } from './vkey.ts';

export interface LevelsOptions {
  readonly unitOfWork: UnitOfWork;
  readonly log: LogStore;
  readonly key: VerifierKey;
  /** Absent: nobody watches, and nothing is ever witnessed. */
  readonly witnesses?: WitnessPolicy | undefined;
}

export type BeyondDurable = Exclude<RecordLevel, 'durable'>;

export interface Levels {
  /** Whether there is anybody to witness anything. */
  readonly watched: boolean;
  /** The receipt that proves it, as soon as there is one; undefined when there is none in `waitMs`. Throws `log_unavailable` when the store cannot prove it. */
  reached(recordId: RecordId, level: BeyondDurable, waitMs: number): Promise<Uint8Array | undefined>;
  /** Whether it is proven now. */
  isReached(tx: Tx, recordId: RecordId, level: BeyondDurable): Promise<boolean>;
  /** The newest checkpoint and the record's receipt under it, witnessed where that is possible; undefined while none covers it. */
  receipt(tx: Tx, recordId: RecordId): Promise<Uint8Array | undefined>;
}

interface Waiting {
  readonly recordId: RecordId;
  readonly level: BeyondDurable;
  /** The checkpoint that was looked at last. */
  looked: Uint8Array | undefined;
  readonly resolve: (receipt: Uint8Array | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/** A tenth of the period in which checkpoints come. */
const LOOK_MS = 20;
const REMEMBERED = 10_000;

export function createLevels(options: LevelsOptions): Levels {
  const { unitOfWork, log, key, witnesses } = options;
  const vkey = formatVkey(key);
  const waiting = new Set<Waiting>();
  /** What was proven once stays so. */
  const proven = new LruMap<string, true>(REMEMBERED);
  let looking = false;

  const checkpointOf = (tx: Tx, level: BeyondDurable) => (level === 'witnessed' ? log.witnessed(tx) : log.head(tx));

  const isWitnessed = (checkpoint: Uint8Array) =>
    witnesses !== undefined && cosignaturesOf(checkpoint, witnesses.witnesses).length >= witnesses.quorum;

  /** Undefined while the checkpoint of that level does not cover the record. */
  async function prove(tx: Tx, recordId: RecordId, level: BeyondDurable): Promise<Uint8Array | undefined> {
    const head = await checkpointOf(tx, level);
    const record = head && (await log.leafByRecord(tx, recordId));
    if (head === undefined || record?.index === undefined || record.index >= head.size) return undefined;
    try {
      if (level === 'witnessed' && !isWitnessed(head.checkpoint)) return undefined; // kept under an older, smaller policy
      const receipt = await makeReceipt({ index: record.index, leaf: record.leaf }, head.checkpoint, key, (path) => log.tile(tx, path));
      const { leaf } = openReceipt(receipt, vkey);
      if (parseLeaf(leaf).recordId !== recordId) throw new VaultError('log_entry_mismatch', 'the leaf is of another record');
      proven.set(`${level} ${recordId}`, true);
      return receipt;
    } catch (cause) {
      throw new VaultError('log_unavailable', 'the stored log does not prove what it holds', { cause });
    }
  }

  /** One transaction for all that wait; a record is looked at again only under a newer checkpoint. */
  async function look(): Promise<void> {
    looking = true;
    while (waiting.size > 0) {
      await sleep(LOOK_MS);
      await unitOfWork.run((tx) => lookOnce(tx)).catch(() => undefined); // a store that does not answer proves nothing: the wait runs out
    }
    looking = false;
  }

  async function lookOnce(tx: Tx): Promise<void> {
    const newest = { committed: (await log.head(tx))?.checkpoint, witnessed: (await log.witnessed(tx))?.checkpoint };
    for (const one of waiting) {
      const checkpoint = newest[one.level];
      if (checkpoint === undefined || (one.looked !== undefined && equalBytes(one.looked, checkpoint))) continue;
      one.looked = checkpoint;
      await prove(tx, one.recordId, one.level).then((receipt) => receipt !== undefined && one.resolve(receipt), one.reject);
    }
  }

  return {
    watched: witnesses !== undefined,
    reached(recordId, level, waitMs) {
      const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | undefined>();
      const one: Waiting = { recordId, level, looked: undefined, resolve, reject };
      waiting.add(one);
      const timer = setTimeout(() => resolve(undefined), waitMs);
      if (!looking) void look();
      return promise.finally(() => {
        clearTimeout(timer);
        waiting.delete(one);
      });
    },
    async isReached(tx, recordId, level) {
      return proven.get(`${level} ${recordId}`) ?? (await prove(tx, recordId, level)) !== undefined;
    },
    async receipt(tx, recordId) {
      return (witnesses && (await prove(tx, recordId, 'witnessed'))) ?? prove(tx, recordId, 'committed');
    },
  };
}

/** LogStore in memory, with the faults that the sequencer must survive and the alterations that it must find. */
import type { Disclosure, LeafRow, LogStore, PublishedHead } from '../../src/audit/port.ts';
import { VaultError } from '../../src/domain/errors.ts';
import type { Incarnation, LeafIndex, RecordId, TreeSize } from '../../src/domain/ids.ts';
import type { Tx, UnitOfWork } from '../../src/domain/unit-of-work.ts';

/** Everything that a transaction can change; replaced as a whole when one commits. */
export interface MemoryLogState {
  /** Appended and without an index, oldest first. */
  outbox: Array<{ readonly recordId: RecordId; readonly leaf: Uint8Array }>;
  leaves: readonly LeafRow[];
  tiles: ReadonlyMap<string, Uint8Array>;
  head: PublishedHead | undefined;
  witnessed: PublishedHead | undefined;
  lease: { readonly holder: Incarnation; readonly until: Date } | undefined;
  disclosures: Disclosure[];
}

export interface MemoryLog {
  readonly unitOfWork: UnitOfWork;
  readonly log: LogStore;
  /** What is committed now. Tests that alter the store assign to it. */
  state: MemoryLogState;
  /** The database's time. */
  now: Date;
  /** Called before each commit; throwing is a crash of the process before it. */
  beforeCommit: ((next: MemoryLogState) => void) | undefined;
  /** Called after each commit; throwing is a commit whose answer got lost. */
  afterCommit: ((committed: MemoryLogState) => void) | undefined;
}

export function createMemoryLog(): MemoryLog {
  let open: { readonly tx: Tx; readonly state: MemoryLogState } | undefined;
  let queue: Promise<unknown> = Promise.resolve();

  async function transact<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    const tx: Tx = { now: new Date(memory.now) };
    open = { tx, state: { ...memory.state, outbox: [...memory.state.outbox], disclosures: [...memory.state.disclosures] } };
    try {
      const result = await work(tx);
      memory.beforeCommit?.(open.state);
      memory.state = open.state;
      memory.afterCommit?.(memory.state);
      return result;
    } finally {
      open = undefined;
    }
  }

  function at(tx: Tx): MemoryLogState {
    if (open?.tx !== tx) throw new VaultError('store_unavailable', 'the transaction has ended');
    return open.state;
  }

  const unitOfWork: UnitOfWork = {
    run(work) {
      const run = queue.then(() => transact(work));
      queue = run.catch(() => undefined);
      return run;
    },
  };

  const log: LogStore = {
    async append(tx, recordId, leaf, disclosures) {
      const state = at(tx);
      state.outbox.push({ recordId, leaf });
      state.disclosures.push(...disclosures);
    },
    async acquireSequencer(tx, holder, until) {
      const state = at(tx);
      if (state.lease !== undefined && state.lease.holder !== holder && state.lease.until > tx.now) return false;
      state.lease = { holder, until };
      return true;
    },
    async assign(tx, limit) {
      const state = at(tx);
      const taken = state.outbox.slice(0, limit);
      const first = state.leaves.length;
      state.leaves = [...state.leaves, ...taken.map((row, index) => ({ ...row, index: (first + index) as LeafIndex }))];
      state.outbox = state.outbox.slice(taken.length);
      return taken.length;
    },
    assignedSize: async (tx) => at(tx).leaves.length as TreeSize,
    newestLeaf: async (tx) => (at(tx).outbox.at(-1) ?? at(tx).leaves.at(-1))?.leaf,
    leaves: async (tx, start, end) => at(tx).leaves.slice(start, end),
    async publish(tx, previous, head, tiles) {
      const state = at(tx);
      if ((state.head?.size ?? 0) !== previous || head.size <= previous) return false;
      state.head = head;
      state.tiles = new Map([...state.tiles, ...tiles.map(({ path, bytes }) => [path, bytes] as const)]);
      return true;
    },
    async resignHead(tx, head) {
      const state = at(tx);
      if (state.head?.size !== head.size) return false;
      state.head = head;
      state.witnessed = undefined;
      return true;
    },
    witnessed: async (tx) => at(tx).witnessed,
    async publishWitnessed(tx, head) {
      const state = at(tx);
      if ((state.head?.size ?? 0) < head.size || (state.witnessed?.size ?? 0) > head.size) return false;
      state.witnessed = head;
      return true;
    },
    head: async (tx) => at(tx).head,
    tile: async (tx, path) => at(tx).tiles.get(path),
    async leafByRecord(tx, recordId) {
      const { leaves, outbox } = at(tx);
      return leaves.find((row) => row.recordId === recordId) ?? outbox.find((row) => row.recordId === recordId);
    },
    summary: async () => undefined,
    async putSummary() {
      throw new Error('no log here is that long');
    },
    disclosures: async (tx, recordId) => at(tx).disclosures.filter((row) => row.recordId === recordId),
    async eraseDisclosuresBefore() {
      throw new Error('nothing is that old here');
    },
    prunedBefore: async () => 0,
    isPruned: async () => false,
    async prune() {
      throw new Error('nothing is that old here');
    },
    async eraseDisclosuresOf(tx, name) {
      const state = at(tx);
      const named = (row: Disclosure) => row.field === 'administratorName' && row.value === name;
      const records = new Set(state.disclosures.filter(named).map((row) => row.recordId));
      const kept = state.disclosures.filter((row) => !records.has(row.recordId));
      const erased = { records: records.size, disclosures: state.disclosures.length - kept.length };
      state.disclosures = kept;
      return erased;
    },
  };

  const memory: MemoryLog = {
    unitOfWork,
    log,
    state: { outbox: [], leaves: [], tiles: new Map(), head: undefined, witnessed: undefined, lease: undefined, disclosures: [] },
    now: new Date('2026-01-01T00:00:00.000Z'),
    beforeCommit: undefined,
    afterCommit: undefined,
  };
  return memory;
}

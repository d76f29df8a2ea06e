import { afterEach, describe, expect, test } from '@jest/globals';
import type { SequencerOptions } from '../../src/audit/sequencer.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { addSeconds } from '../../src/domain/clock.ts';
import { VaultError } from '../../src/domain/errors.ts';
import type { RecordId } from '../../src/domain/ids.ts';
import { createMemoryLog, type MemoryLog } from '../doubles/memory-log-store.ts';
import { appendRecords, createLogKey, sequencerOn, sourceOf } from './small-log.ts';

const key = createLogKey();

/** Everything any signer of this test signed: one size must have one root, for ever. */
let signedRoots = new Map<number, Set<string>>();
const signing = (memory: MemoryLog, more: Partial<SequencerOptions> = {}) =>
  sequencerOn(memory, key, {
    ...more,
    sign: async (text) => {
      const [, size, root] = new TextDecoder().decode(text).split('\n');
      signedRoots.set(Number(size), (signedRoots.get(Number(size)) ?? new Set()).add(root ?? ''));
      return (more.sign ?? key.sign)(text);
    },
  });

afterEach(() => {
  for (const roots of signedRoots.values()) expect(roots.size).toBe(1);
  signedRoots = new Map();
});

const reportOf = (memory: MemoryLog) =>
  verifyLog(sourceOf(new Map(memory.state.tiles).set('checkpoint', memory.state.head?.checkpoint ?? new Uint8Array(0))), key.vkey);

describe('the sequencer', () => {
  test('publishes nothing for an empty log, and nothing twice', async () => {
    const memory = createMemoryLog();
    const { sequencer, events } = signing(memory);
    expect(await sequencer.tick()).toBe('nothing');
    expect(memory.state.head).toBeUndefined();
    await appendRecords(memory, 3);
    expect(await sequencer.tick()).toBe('published');
    expect(await sequencer.tick()).toBe('nothing');
    expect(events).toEqual([{ kind: 'published', severity: 'info', size: 3 }]);
    expect(signedRoots.size).toBe(1);
  });

  test('publishes a log that verifies, in order of appending, over many rounds and batches', async () => {
    const memory = createMemoryLog();
    const { sequencer } = signing(memory, { batch: 100 });
    const ids: RecordId[] = [];
    for (const count of [1, 255, 1, 300, 7]) {
      ids.push(...(await appendRecords(memory, count)));
      while ((await sequencer.tick()) === 'published');
    }
    expect(memory.state.leaves.map((row) => row.recordId)).toEqual(ids);
    expect(await reportOf(memory)).toMatchObject({ ok: true, size: 564 });
  });

  test.each([1, 2, 3, 4, 5])('that dies before commit %i of a round leaves nothing torn, and the next one continues', async (dies) => {
    const memory = createMemoryLog();
    await appendRecords(memory, 3);
    const first = signing(memory);
    await first.sequencer.tick();
    await appendRecords(memory, 5);
    let commits = 0;
    memory.beforeCommit = () => {
      if (++commits >= dies) throw new VaultError('store_unavailable', 'the machine lost power');
    };
    expect(await first.sequencer.tick()).toBe('failed');
    memory.beforeCommit = undefined;
    await appendRecords(memory, 2);
    memory.now = addSeconds(memory.now, 60);
    const second = signing(memory);
    expect(await second.sequencer.tick()).toBe('published');
    expect(await reportOf(memory)).toMatchObject({ ok: true, size: 10 });
  });

  test('that signed but could not publish publishes exactly that first, also when more was appended meanwhile', async () => {
    const memory = createMemoryLog();
    const { sequencer, events } = signing(memory);
    await appendRecords(memory, 5);
    memory.beforeCommit = (next) => {
      if (next.head !== undefined) throw new VaultError('store_unavailable');
    };
    expect(await sequencer.tick()).toBe('failed');
    memory.beforeCommit = undefined;
    await appendRecords(memory, 2);
    expect(await sequencer.tick()).toBe('published');
    expect(memory.state.head?.size).toBe(5);
    expect(await sequencer.tick()).toBe('published');
    expect(await reportOf(memory)).toMatchObject({ ok: true, size: 7 });
    expect(events.map((event) => event.kind)).toEqual(['round_failed', 'published', 'published']);
  });

  test('that published without hearing so goes on from there', async () => {
    const memory = createMemoryLog();
    const { sequencer } = signing(memory);
    await appendRecords(memory, 5);
    memory.afterCommit = ({ head }) => {
      if (head !== undefined) throw new VaultError('store_unavailable', 'the answer was lost');
    };
    expect(await sequencer.tick()).toBe('failed');
    memory.afterCommit = undefined;
    expect(await sequencer.tick()).toBe('nothing');
    await appendRecords(memory, 1);
    expect(await sequencer.tick()).toBe('published');
    expect(await reportOf(memory)).toMatchObject({ ok: true, size: 6 });
  });

  test('keeps records durable while the HSM is gone, and catches up when it is back', async () => {
    const memory = createMemoryLog();
    let gone = true;
    const sign = async (text: Uint8Array) => {
      if (gone) throw new VaultError('hsm_unavailable');
      return key.sign(text);
    };
    const { sequencer, events } = signing(memory, { sign });
    await appendRecords(memory, 4);
    expect(await sequencer.tick()).toBe('failed');
    expect(await sequencer.tick()).toBe('failed');
    expect(events).toMatchObject([{ kind: 'round_failed', step: 'sign', code: 'hsm_unavailable' }, { kind: 'round_failed' }]);
    expect(memory.state).toMatchObject({ head: undefined, leaves: { length: 4 } });
    gone = false;
    expect(await sequencer.tick()).toBe('published');
    expect(await reportOf(memory)).toMatchObject({ ok: true, size: 4 });
  });

  test('publishes no signature that does not verify', async () => {
    const memory = createMemoryLog();
    await appendRecords(memory, 1);
    const { sequencer } = sequencerOn(memory, key, { sign: async () => new Uint8Array(64) });
    expect(await sequencer.tick()).toBe('failed');
    expect([memory.state.head, sequencer.halted()]).toEqual([undefined, undefined]);
  });
});

describe('two sequencers', () => {
  test('take turns by lease, and one takes over when the other has died', async () => {
    const memory = createMemoryLog();
    const [first, second] = [signing(memory), signing(memory)];
    await appendRecords(memory, 2);
    expect(await first.sequencer.tick()).toBe('published');
    expect(await second.sequencer.tick()).toBe('standby');
    await appendRecords(memory, 2);
    memory.now = addSeconds(memory.now, 16);
    expect(await second.sequencer.tick()).toBe('published');
    expect(await first.sequencer.tick()).toBe('standby');
    await second.sequencer.stop();
    await appendRecords(memory, 2);
    expect(await first.sequencer.tick()).toBe('published');
    expect(await reportOf(memory)).toMatchObject({ ok: true, size: 6 });
  });

  test('that both believe to lead publish one history: the slower one loses, and goes on from the winner', async () => {
    const memory = createMemoryLog();
    const winner = signing(memory);
    let overtaken = false;
    const loser = signing(memory, {
      sign: async (text) => {
        if (!overtaken) {
          overtaken = true;
          memory.now = addSeconds(memory.now, 60); // the HSM took a minute; the lease is long gone
          await appendRecords(memory, 3);
          expect(await winner.sequencer.tick()).toBe('published');
        }
        return key.sign(text);
      },
    });
    await appendRecords(memory, 2);
    expect(await loser.sequencer.tick()).toBe('conflict');
    expect(loser.events).toEqual([{ kind: 'conflict', severity: 'warning' }]);
    memory.now = addSeconds(memory.now, 60);
    await appendRecords(memory, 1);
    expect(await loser.sequencer.tick()).toBe('published');
    expect(await reportOf(memory)).toMatchObject({ ok: true, size: 6 });
  });
});

describe('a store that was altered', () => {
  async function published(count: number, more: number, alter: (memory: MemoryLog) => void) {
    const memory = createMemoryLog();
    const { sequencer, events } = signing(memory);
    await appendRecords(memory, count);
    await sequencer.tick();
    await appendRecords(memory, more);
    const head = memory.state.head;
    alter(memory);
    const results = [await sequencer.tick(), await sequencer.tick()];
    expect(results).toEqual(['halted', 'halted']);
    expect(events.slice(1)).toMatchObject([{ kind: 'halted', severity: 'critical' }]);
    expect([...signedRoots.keys()]).toEqual([count]);
    expect(sequencer.halted()).toBeInstanceOf(VaultError);
    return { head, code: sequencer.halted()?.code };
  }
  const flip = (bytes: Uint8Array) => bytes.map((byte, at) => (at === 40 ? byte ^ 1 : byte));

  test.each([3, 255, 256, 300])('in a published leaf of the last tile of %i is never signed over', async (count) => {
    const { code } = await published(count, 1, (memory) => {
      memory.state.leaves = memory.state.leaves.map((row) => (row.index === count - 1 ? { ...row, leaf: flip(row.leaf) } : row));
    });
    expect(code).toBe('log_entry_mismatch');
  });

  test('in a tile is never signed over', async () => {
    const { code } = await published(3, 1, (memory) => {
      memory.state.tiles = new Map([...memory.state.tiles].map(([path, bytes]) => [path, path.startsWith('tile/0') ? flip(bytes) : bytes]));
    });
    expect(code).toBe('log_root_mismatch');
  });

  test('in its head is never extended', async () => {
    const other = createMemoryLog();
    await appendRecords(other, 3);
    await sequencerOn(other, createLogKey()).sequencer.tick();
    const { code } = await published(3, 1, (memory) => void (memory.state.head = other.state.head));
    expect(code).toBe('note_signature_invalid');
  });

  test('by rolling it back is never signed at a smaller size', async () => {
    const empty = createMemoryLog().state;
    expect((await published(3, 0, (memory) => void (memory.state = empty))).code).toBe('log_conflict');
  });

  test('by replacing it with another log of the same key is never extended', async () => {
    const other = createMemoryLog();
    await appendRecords(other, 5);
    await sequencerOn(other, key).sequencer.tick();
    const { code } = await published(3, 0, (memory) => void (memory.state = { ...other.state, lease: undefined }));
    expect(code).toBe('log_conflict');
  });

  test('by removing published leaves is never extended', async () => {
    const { code } = await published(3, 0, (memory) => void (memory.state.leaves = memory.state.leaves.slice(0, 2)));
    expect(code).toBe('log_incomplete');
  });
});

/**
 * T6, T34 of the log: every earlier state put back, a fork at every index, the kept checkpoint put back alone, two signers of one origin: what finds each, and
 * what does not.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseWitnessVkey } from '../../src/audit/cosignature.ts';
import { createHeadFile } from '../../src/audit/head-file/head-file.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { postToWitness } from '../../src/audit/witness-http/post.ts';
import { createWitnesses, type WitnessEvent } from '../../src/audit/witnesses.ts';
import type { TreeSize } from '../../src/domain/ids.ts';
import { makeWitness, watchLog } from '../../src/witness/folder.ts';
import { serveWitness } from '../../src/witness/serve.ts';
import { createMemoryLog, type MemoryLog, type MemoryLogState } from '../doubles/memory-log-store.ts';
import { appendRecords, createLogKey, sequencerOn, sourceOf } from './small-log.ts';

const STATES = 20;
const key = createLogKey();
const folder = mkdtempSync(join(tmpdir(), 'wv-rollback-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The history of a log: its state after each checkpoint. */
let history: MemoryLogState[];
beforeAll(async () => {
  const memory = createMemoryLog();
  const { sequencer } = sequencerOn(memory, key);
  history = [];
  for (let at = 0; at < STATES; at++) {
    await appendRecords(memory, 1 + (at % 5));
    await sequencer.tick();
    history.push({ ...memory.state, lease: undefined });
  }
});
const newest = () => history.at(-1)?.head?.checkpoint ?? new Uint8Array(0);
function storeOf(state: MemoryLogState): MemoryLog {
  const memory = createMemoryLog();
  memory.state = { ...state, outbox: [...state.outbox], disclosures: [] };
  return memory;
}
function kept(checkpoint: Uint8Array): ReturnType<typeof createHeadFile> {
  const file = join(folder, 'head');
  writeFileSync(file, checkpoint);
  return createHeadFile(file);
}
async function started(memory: MemoryLog, heads?: ReturnType<typeof createHeadFile>) {
  const { sequencer } = sequencerOn(memory, key, { heads });
  await appendRecords(memory, 2);
  await sequencer.tick();
  return sequencer.halted()?.code ?? 'goes on';
}

describe('a store that was put back', () => {
  test('to any earlier state does not start beside the checkpoint that is kept apart', async () => {
    for (const state of history.slice(0, -1)) expect(await started(storeOf(state), kept(newest()))).toBe('log_rolled_back');
    expect(await started(storeOf({ ...createMemoryLog().state }), kept(newest()))).toBe('log_rolled_back');
  });

  test('and forked at any index, longer than what was signed, does not start beside it either', async () => {
    const leaves = history.at(-1)?.leaves ?? [];
    expect(leaves.length).toBeGreaterThan(STATES);
    for (const { index } of leaves) {
      const fork = createMemoryLog();
      fork.state.outbox = leaves.slice(0, index).map(({ recordId, leaf }) => ({ recordId, leaf }));
      const { sequencer } = sequencerOn(fork, key);
      await appendRecords(fork, 100);
      expect(await sequencer.tick()).toBe('published');
      expect([index, await started(storeOf({ ...fork.state, lease: undefined }), kept(newest()))]).toEqual([index, 'log_conflict']);
    }
  });

  test('together with the kept checkpoint starts, and every witness that saw the newer one says so: the one thing that the vault alone cannot see', async () => {
    const place = join(folder, 'witness');
    const vkey = makeWitness(place, 'witness.example/rollback');
    watchLog(place, key.vkey);
    const serving = await serveWitness(place, '127.0.0.1', 0);
    try {
      const shown = async (memory: MemoryLog): Promise<string[]> => {
        const events: WitnessEvent[] = [];
        const list = [{ url: `http://127.0.0.1:${serving.port}`, key: parseWitnessVkey(vkey) }];
        const on = { unitOfWork: memory.unitOfWork, log: memory.log, post: postToWitness, monotonicMs: () => performance.now() };
        const witnesses = createWitnesses({ ...on, witnesses: list, quorum: 1, onEvent: (event) => events.push(event) });
        witnesses.published((memory.state.head?.size ?? 0) as TreeSize);
        await witnesses.round();
        return events.map(({ state }) => state);
      };
      const last = history.at(-1);
      if (last === undefined) throw new Error('no history');
      expect(await shown(storeOf(last))).toEqual(['cosigned']);
      for (const state of history.slice(0, -1)) {
        const memory = storeOf(state);
        expect(await started(memory, kept(state.head?.checkpoint ?? new Uint8Array(0)))).toBe('goes on');
        expect(await shown(memory)).toEqual(['conflict']);
      }
      expect(await shown(storeOf(last))).toEqual(['cosigned']); // the honest log is not held up by what the others tried
    } finally {
      await serving.stop();
    }
  });

  test('a kept checkpoint that alone was put back is only older: the store continues it', async () => {
    const last = history.at(-1);
    if (last === undefined) throw new Error('no history');
    for (const state of history) expect(await started(storeOf(last), kept(state.head?.checkpoint ?? new Uint8Array(0)))).toBe('goes on');
  });
});

test('of two vaults that sign one origin from two databases, the second to show itself to a witness is told, and so is whoever compares', async () => {
  const [one, two] = [createMemoryLog(), createMemoryLog()];
  for (const memory of [one, two]) {
    await appendRecords(memory, 5);
    await sequencerOn(memory, key).sequencer.tick();
  }
  const copyOf = ({ state }: MemoryLog) => sourceOf(new Map(state.tiles).set('checkpoint', state.head?.checkpoint ?? new Uint8Array(0)));
  const seen = await verifyLog(copyOf(one), key.vkey);
  const report = await verifyLog(copyOf(two), key.vkey, { previous: { size: seen.size, root: seen.root } });
  expect(report.problems).toMatchObject([{ code: 'log_root_mismatch' }]);
  // One head store for both: whoever comes second does not start.
  expect(await started(storeOf({ ...two.state, lease: undefined }), kept(one.state.head?.checkpoint ?? new Uint8Array(0)))).toBe(
    'log_conflict',
  );
});

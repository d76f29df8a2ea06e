/** What the log does with bad input (docs/log-bad-input.md), and that the page names tests that are there. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { createAccessLog } from '../../src/audit/access-log.ts';
import { openCheckpoint } from '../../src/audit/checkpoint.ts';
import { loggable } from '../../src/audit/record.ts';
import { parseVkey } from '../../src/audit/vkey.ts';
import { utf8 } from '../../src/domain/bytes.ts';
import type { Clock } from '../../src/domain/clock.ts';
import { type Digest, type Incarnation, newId, type VaultId } from '../../src/domain/ids.ts';
import { openSqliteStores } from '../../src/stores/sqlite/sqlite-stores.ts';
import { createMemoryLog } from '../doubles/memory-log-store.ts';
import { appendRecords, createLogKey, DIGEST, publishedFiles, recordOf, sequencerOn } from './small-log.ts';

const page = readFileSync(new URL('../../docs/log-bad-input.md', import.meta.url), 'utf8');

test('the page names tests that are there, and each of its lines has one', () => {
  const rows = page.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| what |'));
  expect(rows.length).toBeGreaterThan(10);
  for (const row of rows) {
    const [, file = '', title = ''] = /\| `(test\/[^`]+)`: (.+) \|$/.exec(row) ?? [];
    const source = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
    expect([row, source.includes(title)]).toEqual([row, true]);
  }
});

test('a leaf of 64 KiB is log_leaf_too_large: its transaction fails, and nothing of it happened', async () => {
  const memory = createMemoryLog();
  const matched = Array.from({ length: 1_024 }, () => loggable('x'.repeat(60), 64));
  const attestation = {
    ...{ kinds: ['tpm2' as const], tier: 'affirming' as const, fresh: true, keyBound: true, hardware: true, matched, facts: {} },
    ...{ evidenceDigest: DIGEST, referenceValuesDigest: DIGEST },
  };
  await expect(appendRecords(memory, 1, recordOf('release.begin', { attestation }))).rejects.toMatchObject({ code: 'log_leaf_too_large' });
  expect([memory.state.outbox, memory.state.leaves]).toEqual([[], []]);
});

test('names with newlines, ANSI escapes and HTML are text that nothing acts on, and one line each', async () => {
  const memory = createMemoryLog();
  const name = 'falcon\n{"type":"release.begin"}\u001b[2J\u202e<script>alert(1)</script>\u0000';
  await appendRecords(memory, 1, recordOf('admin.denied', { detail: loggable(name, 512) }));
  const leaf = new TextDecoder().decode(memory.state.outbox[0]?.leaf);
  expect(leaf).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  expect(leaf.split('\n')).toHaveLength(1);
  expect(JSON.parse(leaf)).toMatchObject({
    type: 'admin.denied',
    detail: 'falcon\\u000a{"type":"release.begin"}\\u001b[2J\\u202e<script>alert(1)</script>\\u0000',
  });
});

test('a clock that goes back moves no record of a process back, and the order of the log is that of its indexes', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'wv-clock-'));
  let wallMs = Date.parse('2026-12-01T12:00:00.000Z');
  const clock: Clock = { now: () => new Date(wallMs), monotonicMs: () => performance.now() };
  const stores = await openSqliteStores({ file: join(folder, 'vault.db'), clock });
  try {
    const node = newId<Incarnation>(clock.now());
    const access = createAccessLog({ log: stores.log, vaultId: newId<VaultId>(clock.now()), node, configDigest: DIGEST as Digest });
    for (const stepMs of [0, -3_600_000, 1_000, -1]) {
      wallMs += stepMs;
      await stores.unitOfWork.run((tx) => access.append(tx, recordOf('vault.started')));
    }
    await stores.unitOfWork.run((tx) => stores.log.assign(tx, 100));
    const rows = await stores.unitOfWork.run((tx) => stores.log.leaves(tx, 0, 100));
    const times = rows.map(({ leaf }) => String(JSON.parse(new TextDecoder().decode(leaf)).time));
    expect(times).toEqual(times.toSorted());
    expect(rows.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
  } finally {
    await stores.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a checkpoint with one character that is not canonical is note_malformed, although it decodes to the same bytes', async () => {
  const key = createLogKey();
  const { files } = await publishedFiles(3, key);
  const text = new TextDecoder().decode(files.get('checkpoint'));
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  // 68 bytes end in one character of padding: the last character before it has two bits that decode to nothing.
  const last = text.lastIndexOf('=') - 1;
  const same = alphabet[alphabet.indexOf(text[last] ?? '') + 1] ?? '';
  const other = text.slice(0, last) + same + text.slice(last + 1);
  const decoded = (note: string) => Buffer.from(note.trimEnd().split(' ').at(-1) ?? '', 'base64').toString('hex');
  expect(decoded(other)).toBe(decoded(text));
  expect(() => openCheckpoint(utf8(other), parseVkey(key.vkey))).toThrow('note_malformed');
  expect(openCheckpoint(utf8(text), parseVkey(key.vkey)).size).toBe(3);
});

test('an unknown extra signature is ignored, by who reads and by the sequencer that goes on from it', async () => {
  const key = createLogKey();
  const memory = createMemoryLog();
  await appendRecords(memory, 3);
  const { sequencer } = sequencerOn(memory, key);
  await sequencer.tick();
  const { head } = memory.state;
  if (head === undefined) throw new Error('nothing was published');
  const stranger = utf8(`— stranger.example/key ${Buffer.alloc(68, 7).toString('base64')}\n`);
  const more = { ...head, checkpoint: new Uint8Array(Buffer.concat([head.checkpoint, stranger])) };
  memory.state = { ...memory.state, head: more };
  expect(openCheckpoint(more.checkpoint, parseVkey(key.vkey)).size).toBe(3);
  await appendRecords(memory, 1);
  expect(await sequencer.tick()).toBe('published');
});

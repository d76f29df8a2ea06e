/** Records that the signed policy no longer keeps go, by a recorded act; what else is missing is found. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { copyLog } from '../../src/audit/export.ts';
import { mirrorLog } from '../../src/audit/mirror.ts';
import { makeProof, verifyProof } from '../../src/audit/proof.ts';
import { loggable, type RecordDraft } from '../../src/audit/record.ts';
import { TILE_WIDTH } from '../../src/audit/tile-path.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { formatVkey } from '../../src/audit/vkey.ts';
import { copyIn } from '../../src/cli/log-source.ts';
import { mirrorFolder } from '../../src/cli/mirror-folder.ts';
import { type RecordId, SYSTEM } from '../../src/domain/ids.ts';
import { searchFollower } from '../../src/vault/log-readers.ts';
import { readLogRetention } from '../../src/vault/log-retention.ts';
import type { SetLogRetention } from '../../src/vault/operations/operation.ts';
import { pruneLog } from '../../src/vault/prune-log.ts';
import { recollect } from '../../src/vault/recollect.ts';
import { readRecord, readTile } from '../../src/vault/review.ts';
import { scrubLog } from '../../src/vault/scrub-log.ts';
import { rebuildIndex, searchLog } from '../../src/vault/search-log.ts';
import { sourceOf } from '../audit/small-log.ts';
import { codeFrom, TestVault } from './test-vault.ts';

const DAY = 86_400;
const MARK = 'zzz-a-detail-of-an-old-record';
const ADDRESS = '203.0.113.99';

let vault: TestVault;
let first: RecordId;
let proof: Uint8Array;
let leaf: Uint8Array;
/** 1,280 old records between a policy and a document that came in force, then what is of today. */
beforeEach(async () => {
  vault = await TestVault.make();
  await retention(1, { recordDays: 365 });
  [first] = await append(1_280);
  await vault.putInForce();
  await append(300);
  await settle();
  const row = await within((tx) => vault.stores.log.leafByRecord(tx, first));
  leaf = row?.leaf ?? new Uint8Array(0);
  const source = await live();
  proof = await makeProof(row?.index ?? -1, await source.checkpoint(), vault.vault.logKey, source.tile);
  vault.clock.advance(400 * DAY);
  await append(300);
  await settle();
});
afterEach(() => vault.remove());

const within = <T>(work: Parameters<typeof vault.stores.unitOfWork.run<T>>[0]) => vault.stores.unitOfWork.run(work);
const vkey = () => formatVkey(vault.vault.logKey);
const retention = (counter: number, days: Pick<SetLogRetention, 'recordDays' | 'disclosureDays'>) =>
  vault.twoPeople({ kind: 'log-retention', namespace: SYSTEM, counter, ...days });

async function append(count: number): Promise<[RecordId, ...RecordId[]]> {
  const draft: RecordDraft = {
    type: 'log.heartbeat',
    outcome: 'success',
    actor: { kind: 'system' },
    detail: loggable(MARK, 64),
    personal: { remoteAddress: ADDRESS },
  };
  return within(async (tx) => {
    const ids: RecordId[] = [];
    for (let at = 0; at < count; at++) ids.push(await vault.vault.accessLog.append(tx, draft));
    return ids as [RecordId, ...RecordId[]];
  });
}

/** Signed, and indexed. */
async function settle(): Promise<void> {
  for (let rounds = 0; (await vault.node.sequencer.tick()) === 'published'; rounds++) expect(rounds).toBeLessThan(20);
  const search = searchFollower(vault.vault);
  for (let rounds = 0; (await search.tick()) === 'moved'; rounds++) expect(rounds).toBeLessThan(100);
}

async function live() {
  const { log } = vault.stores;
  const checkpoint = (await within((tx) => log.head(tx)))?.checkpoint ?? new Uint8Array(0);
  return { checkpoint: async () => checkpoint, tile: (path: string) => within((tx) => log.tile(tx, path)) };
}

async function prune(): Promise<number> {
  for (let batches = 0; ; batches++) if (!(await pruneLog(vault.vault))) return batches;
}
const verified = async () => verifyLog(await live(), vkey());
const state = async () => readLogRetention(await vault.as('alice'), vault.vault);

test('whoever writes policies sees what is kept, without reading the log', async () => {
  await vault.addPerson('erin', ['policy-author']);
  expect(await readLogRetention(await vault.as('erin'), vault.vault)).toEqual(await state());
});

test('whole bundles that are older go, a record says which, and what a start needs stays', async () => {
  const before = await verified();
  expect(await prune()).toBeGreaterThan(0);
  await settle();
  const acts = vault.records('log.pruned');
  const { prunedBefore } = await state();
  expect(prunedBefore % TILE_WIDTH).toBe(0);
  expect(acts.map(({ detail }) => detail)).toEqual(expect.arrayContaining([`${4 * TILE_WIDTH - TILE_WIDTH} records`]));
  const after = await verified();
  expect(after).toMatchObject({ ok: true, problems: [] });
  expect(after.pruned).toBeGreaterThanOrEqual(4 * TILE_WIDTH);
  expect(after.size).toBeGreaterThan(before.size);
  // the first bundle has the ceremony and the policy, another the documents that came in force: they stay, and a start finds them
  expect(await within((tx) => vault.stores.log.isPruned(tx, 0))).toBe(false);
  expect(vault.records('vault.initialized')).toHaveLength(1);
  expect(vault.records('document.activated').length).toBeGreaterThanOrEqual(4);
  await recollect(vault.vault, vault.vault.logKey);
  await vault.addNode();
  // once more is no change
  expect(await prune()).toBe(0);
});

test('a proof that was given out holds; the record itself is gone from the files, the search and the answers', async () => {
  const old = String(vault.row('SELECT record_id FROM log_leaves WHERE leaf_index = 700')['record_id']);
  await prune();
  await vault.stores.purgeDeleted();
  await settle();
  expect(verifyProof(proof, vkey(), leaf).index).toBeGreaterThan(0);
  const { pruned } = await verified();
  const count = vault.row('SELECT count(*) AS count FROM log_leaves WHERE instr(leaf, ?) > 0', Buffer.from(MARK))['count'];
  const file = Buffer.concat(['', '-wal'].map((suffix) => readFileSync(vault.site.file + suffix))).toString('latin1');
  expect(file).not.toContain(old);
  expect(file).toContain(first);
  expect(pruned + Number(count)).toBe(1_280 + 300 + 300);
  const alice = await vault.as('alice');
  const gone = vault.row('SELECT min(bundle) AS bundle FROM log_pruned')['bundle'] as number;
  const path = `tile/entries/${String(gone).padStart(3, '0')}`;
  expect(await codeFrom(readTile(alice, path, undefined, vault.vault))).toBe('record_pruned');
  expect(await codeFrom(readTile(alice, path.replace(/...$/, '900'), undefined, vault.vault))).toBe('log_incomplete');
  const found = await searchLog(alice, { says: { type: 'log.heartbeat' }, order: 'oldest', limit: 100 }, undefined, vault.vault);
  for (const { index } of found.records) expect(Math.floor(index / TILE_WIDTH)).not.toBe(gone);
  expect(vault.row('SELECT count(*) AS count FROM search_leaves WHERE leaf_index / 256 = ?', gone)['count']).toBe(0);
});

test('the search index is made anew across the gap, and a copy and a fresh mirror of what is left verify', async () => {
  await prune();
  await settle();
  const records = vault.row('SELECT count(*) AS count FROM search_leaves')['count'];
  await rebuildIndex(await vault.as('alice'), vault.vault);
  await settle();
  expect(Number(vault.row('SELECT count(*) AS count FROM search_leaves')['count'])).toBeGreaterThanOrEqual(Number(records));
  const copy = new Map<string, Uint8Array>();
  await copyLog(await live(), { write: async (name, bytes) => void copy.set(name, bytes) });
  expect(await verifyLog(sourceOf(copy), vkey())).toMatchObject({ ok: true, pruned: (await verified()).pruned });
  const folder = mkdtempSync(join(tmpdir(), 'wv-pruned-'));
  try {
    await mirrorLog(await live(), mirrorFolder(folder), vkey());
    expect(await verifyLog(copyIn(folder), vkey())).toMatchObject({ ok: true, problems: [] });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('nothing is pruned that is not as old as the policy says, that a reader has not had, while the clock stands before the log, or by whoever deletes rows', async () => {
  const nothing = async () => {
    expect(await prune()).toBe(0);
    expect((await state()).prunedBefore).toBe(0);
  };
  expect(() => vault.sql('DELETE FROM log_leaves WHERE leaf_index = 700')).toThrow('never lost');
  await retention(2, { recordDays: 500 });
  await nothing();
  await retention(3, {});
  await nothing();
  await retention(4, { recordDays: 365 });
  vault.sql("UPDATE log_cursors SET next = 100 WHERE name = 'search'");
  await nothing();
  for (const days of [{ recordDays: 364 }, { recordDays: 36_501 }, { recordDays: 365.5 }, { disclosureDays: 0 }])
    await expect(retention(5, days)).rejects.toMatchObject({ code: 'request_invalid' });
  vault.sql("UPDATE log_cursors SET next = 2000 WHERE name = 'search'");
  const sink = { kind: 'syslog', name: 'siem', from: 'first', host: 'siem.example', port: 6514 } as const;
  await vault.twoPeople({ kind: 'log-sinks', namespace: SYSTEM, counter: 1, sinks: [sink] }); // it has read nothing yet
  await nothing();
  vault.clock.advance(-3600);
  expect(await codeFrom(pruneLog((await vault.addNode()).vault))).toBe('clock_regressed');
});

test('what is missing without a record that says so is found by verification, before a pruning and after it, and a start is refused', async () => {
  const lost = async (path: string) => {
    const bytes = vault.row('SELECT bytes FROM log_tiles WHERE path = ?', path)['bytes'];
    vault.sql('DELETE FROM log_tiles WHERE path = ?', path);
    const { problems } = await verified();
    expect([path, await codeFrom(recollect(vault.vault, vault.vault.logKey))]).toEqual([path, 'log_incomplete']);
    vault.sql('INSERT INTO log_tiles (path, bytes) VALUES (?, ?)', path, bytes);
    expect((await verified()).problems).toEqual([]);
    return problems;
  };
  expect(await lost('tile/entries/003')).toEqual([expect.objectContaining({ code: 'log_incomplete', leafIndex: 3 * TILE_WIDTH })]);
  await prune();
  await settle();
  expect(await lost('tile/entries/000')).toEqual([expect.objectContaining({ code: 'log_incomplete', leafIndex: 0 })]); // was kept
  const gone = vault.row('SELECT min(bundle) AS bundle FROM log_pruned')['bundle'] as number;
  expect(await lost(`tile/0/00${gone}`)).toEqual([expect.objectContaining({ code: 'log_incomplete', leafIndex: gone * TILE_WIDTH })]);
});

test('records that are pruned while the log is looked through are not missed', async () => {
  const { tile } = await live();
  let pruned = 0;
  const read = async (path: string) => {
    if (path.startsWith('tile/entries/') && pruned === 0) {
      pruned = await prune();
      await settle();
    }
    return tile(path);
  };
  expect(await scrubLog(vault.vault, vault.vault.logKey, read)).toBeUndefined();
  expect(pruned).toBeGreaterThan(0);
  expect(await scrubLog(vault.vault, vault.vault.logKey, tile)).toBeUndefined();
});

test('names and addresses older than their own number of days are erased, newer ones stay', async () => {
  await retention(2, { recordDays: 36_500, disclosureDays: 100 });
  const count = (where: string) => Number(vault.row(`SELECT count(*) AS count FROM log_disclosures WHERE ${where}`)['count']);
  expect(count(`value = '${ADDRESS}'`)).toBe(1_880);
  await prune();
  expect(count(`value = '${ADDRESS}'`)).toBe(300);
  const shown = await readRecord(await vault.as('alice'), first, undefined, vault.vault);
  expect(shown).toMatchObject({ personal: {}, erased: ['remoteAddress'] });
  expect(await verified()).toMatchObject({ ok: true, pruned: 0 });
});

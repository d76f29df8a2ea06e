/** Searching the log of a whole vault: what it finds, who may see what, that it is on record, and that the index is only a cache. */

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { type TileName, tileAt, tilePath } from '../../src/audit/tile-path.ts';
import { codeOf } from '../../src/domain/errors.ts';
import { type Namespace, newId, type RecordId, SYSTEM } from '../../src/domain/ids.ts';
import { splitPolicies } from '../../src/policy/policy-set.ts';
import { searchFollower } from '../../src/vault/log-readers.ts';
import type { Granted } from '../../src/vault/release.ts';
import { readCheckpoint, readRecord, readTile } from '../../src/vault/review.ts';
import { type LogQuery, logTotals, readIndex, rebuildIndex, searchLog } from '../../src/vault/search-log.ts';
import { type Machine, PROD, type Published, RESEARCH, TestVault } from './test-vault.ts';

let vault: TestVault;
let machine: Machine;
let version: Published;
let granted: Granted;

/** As the sequencer and the follower do by themselves. */
async function index(): Promise<void> {
  for (let rounds = 0; rounds < 100; rounds++) {
    await vault.node.sequencer.tick();
    if ((await searchFollower(vault.vault).tick()) === 'idle') return;
  }
  throw new Error('the index never came to rest');
}

const query = (more: Partial<LogQuery> = {}): LogQuery => ({ says: {}, order: 'newest', limit: 100, ...more });
const asked = async (says: LogQuery['says'], more: Partial<LogQuery> = {}, namespace?: Namespace) => {
  const found = await searchLog(await vault.as('carol'), query({ says, ...more }), namespace, vault.vault);
  return found.records.map(({ leaf }) => JSON.parse(leaf) as Record<string, unknown>);
};
const types = async (says: LogQuery['says'], more: Partial<LogQuery> = {}) =>
  (await asked(says, more)).map((one) => one['type']).filter((type) => type !== 'release.noticed');

beforeAll(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('gpu-1');
  version = await vault.publish('falcon', 'internal');
  granted = await vault.granted({ machine, version });
  await vault.ask({ machine, version: { ...version, versionId: newId(vault.clock.now()) } }); // refused: no such version
  await index();
});
afterAll(() => vault.remove());

describe('searching the log', () => {
  it('finds by principal, model, decision, reason, measurement, release, by id and by name', async () => {
    const begun = ['release.begin'];
    expect(await types({ principal: machine.subjectId, outcome: 'permit' })).toEqual(begun);
    expect(await types({ principal: 'gpu-1', namespace: PROD, outcome: 'permit' })).toEqual(begun);
    expect(await types({ model: 'falcon', namespace: PROD, type: 'release.begin' })).toEqual(begun);
    expect(await types({ model: version.modelId, type: 'release.begin' })).toEqual(begun);
    expect(await types({ measurement: 'golden', type: 'release.begin' })).toEqual(begun);
    expect(await types({ release: granted.permit.releaseId })).toEqual(begun);
    expect(await types({ outcome: 'deny', reason: 'version_unknown' })).toEqual(['release.denied']);
    expect(await types({ principal: 'alice', type: 'model.created' })).toEqual(['model.created']);
    expect(await types({ principal: machine.subjectId, outcome: 'success' })).toEqual([]);
    expect(await types({ principal: 'gpu-1\n' + '<b>\u001b[31m', namespace: PROD }).catch(codeOf)).toBe('subject_unknown');
    expect(await types({ model: 'nothing', namespace: PROD }).catch(codeOf)).toBe('model_unknown');
  });

  it('finds by time and bytes, in both orders, page by page', async () => {
    await index();
    const all = (await searchLog(await vault.as('carol'), query(), undefined, vault.vault)).records.map((one) => one.index);
    expect(all).toEqual(all.toSorted((a, b) => b - a));
    const pages: number[] = [];
    const actor = await vault.as('carol');
    for (let at: number | undefined = 0; at !== undefined; ) {
      const page = await searchLog(actor, query({ order: 'oldest', limit: 3, at, to: vault.clock.now() }), undefined, vault.vault);
      pages.push(...page.records.map((one) => one.index));
      at = page.next;
    }
    expect(pages).toEqual(Array.from({ length: pages.length }, (_, at) => at));
    expect(pages.length).toBeGreaterThanOrEqual(all.length);
    expect(await asked({}, { from: new Date(vault.clock.now().getTime() + 60_000) })).toEqual([]);
    expect(await asked({}, { minBytes: 1 })).toEqual([]);
  });

  it('shows a reviewer of one namespace its own records, hashes, and no bundle', async () => {
    const { records } = await searchLog(await vault.as('carol'), query(), PROD, vault.vault);
    expect(records.length).toBeGreaterThan(0);
    expect(records.every(({ leaf }) => JSON.parse(leaf).namespace === PROD)).toBe(true);
    expect(await asked({ namespace: RESEARCH }, {}, PROD)).toEqual(await asked({}, {}, PROD)); // the path decides, not the query
  });

  it('records each reading, before it answers', async () => {
    const before = vault.records().length;
    await asked({ outcome: 'deny' });
    await logTotals(await vault.as('carol'), { from: new Date(0), to: vault.clock.now() }, PROD, vault.vault);
    const fresh = vault
      .records()
      .slice(before)
      .filter(({ type }) => type === 'log.read');
    expect(fresh.map(({ detail, namespace }) => [detail, namespace])).toEqual([
      ['search outcome=deny order=newest', undefined],
      [expect.stringContaining('totals 1970-01-01 to '), PROD],
    ]);
  });

  it('waits for a record to follow the log, and a reading is no record to wake up for', async () => {
    await index();
    const { indexed } = await readIndex(await vault.as('carol'), vault.vault);
    const waiting = asked({}, { order: 'oldest', at: indexed, waitSeconds: 20 });
    await index(); // its own log.read is indexed now
    await vault.publish('condor', 'internal');
    await index();
    expect((await waiting).map((one) => one['type'])).toContain('model.created');
  });

  it('is the same index after it was dropped and made again', async () => {
    await index();
    const rebuilt = await rebuildIndex(await vault.as('carol'), vault.vault);
    expect(rebuilt.indexed).toBe(0);
    expect(await asked({ outcome: 'permit' })).toEqual([]);
    await index();
    const once = dump(Number.MAX_SAFE_INTEGER);
    expect(once['search_leaves']?.length).toBeGreaterThan(20);
    await rebuildIndex(await vault.as('carol'), vault.vault);
    await index();
    expect(dump(once['search_leaves']?.length ?? 0)).toEqual(once); // it is longer by what was read meanwhile
  });

  it('says nothing of what it held before, wherever a process dies that makes it anew, and is the same index in the end', async () => {
    await index();
    const once = dump(Number.MAX_SAFE_INTEGER);
    const size = once['search_leaves']?.length ?? 0;
    const all = { from: new Date(0), to: vault.clock.now() };
    const totals = async () => {
      const { tallies } = await logTotals(await vault.as('carol'), all, undefined, vault.vault);
      return tallies.filter(({ type }) => type === 'release.begin').reduce((sum, { records }) => sum + records, 0);
    };
    const before = await totals();
    expect(before).toBeGreaterThan(0);
    const halfway = [
      () => undefined, // killed at once
      () => vault.sql('DELETE FROM search_terms WHERE leaf_index % 2 = 0'),
      () => vault.sql('DELETE FROM search_terms') + vault.sql('DELETE FROM search_leaves WHERE leaf_index < 7'),
      () => vault.sql("INSERT INTO log_cursors (name, next, holder, lease_until) VALUES ('search', 0, 'dead', 0)"),
    ];
    for (const dies of halfway) {
      await rebuildIndex(await vault.as('carol'), vault.vault);
      dies();
      expect([await asked({ outcome: 'permit' }, { order: 'oldest' }), await totals()]).toEqual([[], 0]);
      await index();
      expect(dump(size)).toEqual(once);
      expect(await totals()).toBe(before);
    }
  });
});

/** The index of the first `size` records. */
function dump(size: number): Record<string, unknown[]> {
  const db = new Database(vault.site.file, { readonly: true });
  try {
    const rows = (table: string) => db.prepare(`SELECT * FROM ${table} WHERE leaf_index < ? ORDER BY 1, 2`).all(size);
    return Object.fromEntries(['search_terms', 'search_leaves'].map((table) => [table, rows(table)]));
  } finally {
    db.close();
  }
}

describe('who may read what', () => {
  const codes = (...calls: ReadonlyArray<() => Promise<unknown>>) => Promise.all(calls.map((call) => call().then(() => 'read', codeOf)));

  it('a reviewer of one namespace proves and reads its records, and learns nothing of others', async () => {
    const policies = readFileSync(new URL('../../policies/administrators.cedar', import.meta.url), 'utf8').replace(
      /(@id\("reviewer"\)[^;]*?resource) is WeightVault::Namespace/,
      '$1 == WeightVault::Namespace::"prod"',
    );
    await vault.twoPeople({ kind: 'policy-set', namespace: SYSTEM, counter: 2, policies: splitPolicies(policies) });
    await index();
    const carol = await vault.as('carol');
    const mine = String(vault.records().find(({ namespace }) => namespace === PROD)?.recordId) as RecordId;
    const other = String(vault.records().find(({ namespace }) => namespace === undefined)?.recordId) as RecordId;
    const size = (await readIndexAs('alice')).records;
    const [hashes, bundle] = [tileAt(size, 0, 0), tileAt(size, 'entries', 0)].map((tile) => tilePath(tile as TileName));
    const { vault: node } = vault;
    const all = { from: new Date(0), to: vault.clock.now() };
    expect(
      await codes(
        () => readCheckpoint(carol, PROD, node),
        () => readTile(carol, hashes ?? '', PROD, node),
        () => readRecord(carol, mine, PROD, node),
        () => searchLog(carol, query(), PROD, node),
        () => logTotals(carol, all, PROD, node),
      ),
    ).toEqual(['read', 'read', 'read', 'read', 'read']);
    expect(
      await codes(
        () => readTile(carol, bundle ?? '', PROD, node),
        () => readRecord(carol, other, PROD, node),
        () => readRecord(carol, mine, undefined, node),
        () => readCheckpoint(carol, undefined, node),
        () => searchLog(carol, query(), undefined, node),
        () => searchLog(carol, query(), RESEARCH, node),
        () => logTotals(carol, all, undefined, node),
        () => readIndex(carol, node),
        () => rebuildIndex(carol, node),
      ),
    ).toEqual(['action_denied', 'record_unknown', ...Array(7).fill('action_denied')]);
  });
});

const readIndexAs = async (name: string) => readIndex(await vault.as(name), vault.vault);

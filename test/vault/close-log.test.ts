/** Two people close a period of the log; the vault believes of it only what its own tree says, and prunes nothing that is not closed where the policy asks for that. */
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { loggable } from '../../src/audit/record.ts';
import { TILE_WIDTH } from '../../src/audit/tile-path.ts';
import type { Digest } from '../../src/domain/ids.ts';
import { SYSTEM } from '../../src/domain/ids.ts';
import { searchFollower } from '../../src/vault/log-readers.ts';
import { readLogRetention, requestLogClosing } from '../../src/vault/log-retention.ts';
import type { CloseLog } from '../../src/vault/operations/operation.ts';
import { pruneLog } from '../../src/vault/prune-log.ts';
import { recollect } from '../../src/vault/recollect.ts';
import { codeFrom, TestVault } from './test-vault.ts';

const DAY = 86_400;

let vault: TestVault;
beforeEach(async () => {
  vault = await TestVault.make();
});
afterEach(() => vault.remove());

const ask = async ({ until, size, root }: CloseLog) => requestLogClosing(await vault.as('carol'), { until, size, root }, vault.vault);
const state = async () => readLogRetention(await vault.as('alice'), vault.vault);

test('a reviewer asks, another person consents, and the record says which tree the period ends with; a start remembers it', async () => {
  const period = await vault.closing(1);
  const asked = await ask(period);
  expect(asked.state).toBe('pending');
  expect((await state()).closed).toBeUndefined();
  await vault.approve('bob', asked);
  const { until, size, root } = period;
  expect(vault.lastRecord()).toMatchObject({
    type: 'log.closed',
    closed: { until, size, root },
    document: { kind: 'closed-log', counter: 1 },
    operation: { kind: 'close-log' },
  });
  expect((await state()).closed).toEqual({ until, size, root });
  await vault.commit();
  const node = await vault.addNode(); // a process of its own memory
  await recollect(node.vault, node.vault.logKey);
  vault.sql("DELETE FROM document_slots WHERE slot = 'closed-log'");
  expect(await codeFrom(readLogRetention(await vault.as('alice'), node.vault))).toBe('document_invalid');
});

test('a period that is not over, not under a checkpoint, of another tree, or not after the one before is refused, as soon as it is asked for', async () => {
  const period = await vault.closing(1);
  vault.clock.advance(10);
  const later = new Date(vault.clock.now().getTime() + 3_600_000).toISOString();
  const refused: ReadonlyArray<readonly [Partial<CloseLog>, string]> = [
    [{ until: later }, 'request_invalid'],
    [{ until: '2026-12-01' }, 'request_invalid'],
    [{ until: period.until.replace('.000Z', 'Z') }, 'request_invalid'],
    [{ size: 100_000 }, 'log_incomplete'],
    [{ size: period.size - 1 }, 'log_root_mismatch'],
    [{ root: 'ab'.repeat(32) as Digest }, 'log_root_mismatch'],
    [{ until: vault.clock.now().toISOString() }, 'log_incomplete'], // a record of before then stands behind that tree
  ];
  for (const [other, code] of refused) expect([other, await codeFrom(ask({ ...period, ...other }))]).toEqual([other, code]);
  await vault.approve('bob', await ask(period));
  expect(await codeFrom(ask(period))).toBe('request_invalid');
  const next = await vault.closing(2);
  expect(await codeFrom(ask({ ...next, until: period.until }))).toBe('request_invalid');
  await vault.approve('bob', await ask(next));
  expect(vault.records('log.closed')).toHaveLength(2);
});

test('with requireArchive nothing goes before its period is closed, and then whole bundles of closed periods alone', async () => {
  await vault.twoPeople({ kind: 'log-retention', namespace: SYSTEM, counter: 1, recordDays: 365, requireArchive: true });
  await append(3 * TILE_WIDTH);
  const period = await vault.closing(1);
  await append(3 * TILE_WIDTH);
  vault.clock.advance(400 * DAY);
  await append(TILE_WIDTH);
  await settle();
  expect(await prune()).toBe(0);
  await vault.twoPeople(period);
  await settle();
  expect(await prune()).toBeGreaterThan(0);
  const { prunedBefore, requireArchive } = await state();
  expect([prunedBefore, requireArchive]).toEqual([Math.floor(period.size / TILE_WIDTH) * TILE_WIDTH, true]);
  // without it, age alone decides: what lies behind the period goes too
  await vault.twoPeople({ kind: 'log-retention', namespace: SYSTEM, counter: 2, recordDays: 365 });
  await settle();
  expect(await prune()).toBeGreaterThan(0);
  expect((await state()).prunedBefore).toBeGreaterThan(period.size);
});

async function append(count: number): Promise<void> {
  const draft = { type: 'log.heartbeat', outcome: 'success', actor: { kind: 'system' }, detail: loggable('old', 8) } as const;
  await vault.stores.unitOfWork.run(async (tx) => {
    for (let at = 0; at < count; at++) await vault.vault.accessLog.append(tx, draft);
  });
}

/** Signed, and indexed. */
async function settle(): Promise<void> {
  await vault.commit();
  const search = searchFollower(vault.vault);
  for (let rounds = 0; (await search.tick()) === 'moved'; rounds++) expect(rounds).toBeLessThan(100);
}

async function prune(): Promise<number> {
  for (let batches = 0; ; batches++) if (!(await pruneLog(vault.vault))) return batches;
}

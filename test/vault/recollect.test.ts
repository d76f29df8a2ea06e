/** A process that starts learns from the access log what it may not go back behind. */
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { verifierKey } from '../../src/audit/vkey.ts';
import type { StopId } from '../../src/domain/ids.ts';
import { blockSubject } from '../../src/vault/block.ts';
import type { Operation } from '../../src/vault/operations/operation.ts';
import { recollect } from '../../src/vault/recollect.ts';
import { requestLift } from '../../src/vault/stop.ts';
import { type Machine, ORIGIN, PROD, type Published, starterPolicies, TestVault } from './test-vault.ts';

let vault: TestVault;
let machine: Machine;
let version: Published;
beforeEach(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('node-1');
  version = await vault.publish('m', 'internal');
});
afterEach(() => vault.remove());

/** A process that starts now: it has read the log, and nothing else. */
async function started() {
  for (let round = 0; round < 3; round++) await vault.node.sequencer.tick();
  const node = await vault.addNode();
  await recollect(node.vault, verifierKey(ORIGIN, vault.site.made.logPublicKey));
  return node;
}

const NEXT: readonly Operation[] = [
  { kind: 'policy-set', namespace: PROD, counter: 2, policies: starterPolicies('public') },
  { kind: 'reference-values', namespace: PROD, counter: 2, values: [] },
  { kind: 'trust-anchors', namespace: PROD, counter: 2, anchors: [] },
];
test.each(NEXT)('a slot pointed back, or emptied, while the vault was down is refused: $kind', async (next) => {
  const old = vault.row('SELECT digest FROM document_slots WHERE namespace = ? AND slot = ?', PROD, next.kind);
  await vault.twoPeople(next);
  expect(await vault.ask({ node: await started(), machine, version })).toMatchObject({ refused: true });
  vault.sql('UPDATE document_slots SET digest = ?, counter = 1 WHERE namespace = ? AND slot = ?', old['digest'], PROD, next.kind);
  vault.expectDenied(await vault.ask({ node: await started(), machine, version }), 'document_invalid');
  vault.sql('DELETE FROM document_slots WHERE namespace = ? AND slot = ?', PROD, next.kind);
  vault.expectDenied(await vault.ask({ node: await started(), machine, version }), 'document_invalid');
});

test('policies that were rolled back release nothing, although machine and measurements are as they were', async () => {
  const old = vault.row("SELECT digest FROM document_slots WHERE namespace = ? AND slot = 'policy-set'", PROD);
  await vault.twoPeople({ kind: 'policy-set', namespace: PROD, counter: 2, policies: starterPolicies('public') });
  vault.expectDenied(await vault.ask({ machine, version }), 'policy_denied');
  vault.sql("UPDATE document_slots SET digest = ?, counter = 1 WHERE namespace = ? AND slot = 'policy-set'", old['digest'], PROD);
  const forgetful = await vault.addNode();
  expect(await vault.ask({ node: forgetful, machine, version })).toMatchObject({ refused: false }); // what reading the log prevents
  vault.expectDenied(await vault.ask({ node: await started(), machine, version }), 'document_invalid');
});

test('a stop whose row was deleted while the vault was down still stops; one that two people lifted does not', async () => {
  const alice = await vault.as('alice');
  await blockSubject(alice, PROD, machine.name, vault.vault);
  vault.dropTriggers();
  for (const { name } of vault.database.prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'").all() as Array<{ name: string }>)
    vault.database.exec(`DROP TRIGGER ${name}`);
  vault.sql('DELETE FROM stops');
  const node = await started();
  vault.expectDenied(await vault.ask({ node, machine, version }), 'subject_blocked');

  const [stop] = vault.records('stop.placed');
  const { stopId } = (stop as unknown as { stop: { stopId: StopId } }).stop;
  const { requestId, operationDigest } = await requestLift(alice, { namespace: PROD, stop: stopId }, vault.vault);
  await vault.approve('bob', { requestId, operationDigest });
  expect(await vault.ask({ node: await started(), machine, version })).toMatchObject({ refused: false });
});

test('a log in which an old record was edited teaches nothing: the start ends there', async () => {
  await blockSubject(await vault.as('alice'), PROD, machine.name, vault.vault);
  await started();
  vault.dropTriggers();
  const rows = vault.database.prepare("SELECT path, bytes FROM log_tiles WHERE path LIKE 'tile/entries/%' ORDER BY length(bytes)").all();
  const { path, bytes } = rows.at(-1) as { path: string; bytes: Buffer };
  const at = bytes.indexOf('"scope":"requester"');
  expect(at).toBeGreaterThan(0);
  bytes.write('"scope":"vaultvaul"', at);
  vault.sql('UPDATE log_tiles SET bytes = ? WHERE path = ?', bytes, path);
  await expect(started()).rejects.toMatchObject({ code: 'log_entry_mismatch' });
});

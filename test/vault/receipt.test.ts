/** Whoever a version was released to can prove it for ever; nobody else gets the proof, and nothing is granted by it. */
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { openReceipt } from '../../src/audit/receipt.ts';
import { formatVkey } from '../../src/audit/vkey.ts';
import { isRefusal } from '../../src/domain/evidence.ts';
import { newId, type ReleaseId } from '../../src/domain/ids.ts';
import { blockSubject } from '../../src/vault/block.ts';
import { finishRelease } from '../../src/vault/finish.ts';
import { readReceipt } from '../../src/vault/receipt.ts';
import type { Granted } from '../../src/vault/release.ts';
import { type Machine, TestVault } from './test-vault.ts';

let vault: TestVault;
let machine: Machine;
let granted: Granted;
beforeEach(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('node-1');
  granted = await vault.granted({ machine, version: await vault.publish('m', 'restricted') });
});
afterEach(() => vault.remove());

const publish = () => vault.node.sequencer.tick();
const asked = (spki = machine.spki, releaseId: ReleaseId = granted.permit.releaseId) => ({
  ...{ requestId: 'receipt', remoteAddress: '198.51.100.7', spki, releaseId },
  namespace: granted.permit.namespace,
});

async function received(node = vault.node): Promise<Record<string, unknown>> {
  const receipt = await readReceipt(asked(), node.vault);
  if (isRefusal(receipt)) throw new Error(receipt.code);
  const { leaf } = openReceipt(receipt, formatVkey(vault.vault.logKey));
  return JSON.parse(new TextDecoder().decode(leaf)) as Record<string, unknown>;
}

test('is pending until a checkpoint covers the record, then proves exactly the begin of the release', async () => {
  expect(await readReceipt(asked(), vault.vault)).toMatchObject({ code: 'receipt_pending' });
  await publish();
  const { permit } = granted;
  expect(await received()).toMatchObject({
    type: 'release.begin',
    recordId: permit.recordId,
    object: { versionDigest: permit.versionDigest },
    release: { releaseId: permit.releaseId },
    actor: { kind: 'requester', subjectId: machine.subjectId },
  });
  const [read, ...more] = vault.records('log.read');
  expect(read).toMatchObject({ actor: { kind: 'requester' }, release: { releaseId: permit.releaseId, begin: permit.recordId } });
  expect(more).toEqual([]);
});

test('is given by every node, after the release ended, and to a machine that was blocked since', async () => {
  await publish();
  const { namespace, releaseId, recordId } = granted.permit;
  expect(await received(await vault.addNode())).toMatchObject({ recordId });
  await finishRelease({ requestId: 'end', namespace, releaseId, spki: machine.spki, remoteAddress: '' }, vault.vault);
  await blockSubject(await vault.as('alice'), namespace, machine.name, vault.vault);
  expect(await received()).toMatchObject({ recordId });
});

test('is refused to another TLS key, and for a release that never was, on record', async () => {
  await publish();
  const stranger = await vault.machine('node-2');
  for (const [request, code] of [
    [asked(stranger.spki), 'release_key_mismatch'],
    [asked(machine.spki, newId<ReleaseId>(vault.clock.now())), 'release_unknown'],
  ] as const) {
    expect(await readReceipt(request, vault.vault)).toMatchObject({ refused: true, code });
    expect(vault.lastRecord()).toMatchObject({ type: 'object.denied', outcome: 'deny', reason: code });
  }
  expect(vault.records('log.read')).toEqual([]);
});

test('is not given for a row that somebody altered, on record', async () => {
  await publish();
  const other = await vault.granted({ machine, version: await vault.publish('other', 'restricted') });
  vault.sql('UPDATE releases SET record_id = ? WHERE release_id = ?', other.permit.recordId, granted.permit.releaseId);
  await expect(readReceipt(asked(), vault.vault)).rejects.toMatchObject({ code: 'document_invalid' });
  expect(vault.lastRecord()).toMatchObject({ type: 'object.denied', outcome: 'deny', reason: 'document_invalid' });
});

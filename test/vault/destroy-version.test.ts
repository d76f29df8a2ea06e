/** Destroying one version (P10): two people, a wait, and the claim only when no KEK version that may have wrapped it is left; then a backup opens nothing. */
import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { toBase64 } from '../../src/domain/bytes.ts';
import { type KeyId, SYSTEM } from '../../src/domain/ids.ts';
import { newRecoveryKey } from '../../src/keys/recovery-wrap.ts';
import { decodeWrappedKey, dekWrapAad } from '../../src/keys/wrapped-key.ts';
import { snapshotSqlite } from '../../src/stores/sqlite/snapshot.ts';
import { destroyKeys } from '../../src/vault/destroy-keys.ts';
import { destroyVersions } from '../../src/vault/destroy-versions.ts';
import { KEK } from '../../src/vault/init.ts';
import type { Operation } from '../../src/vault/operations/operation.ts';
import { createRewrapper } from '../../src/vault/rewrap.ts';
import { codeFrom, PROD, type Published, TestVault } from './test-vault.ts';

const DAY_SECONDS = 86_400;
let vault: TestVault;
beforeEach(async () => {
  vault = await TestVault.ready();
});
afterEach(() => vault.remove());

const destruction = (
  { modelId, versionId, versionDigest }: Published,
  counter: number,
  state: 'decided' | 'kept' = 'decided',
): Operation => ({
  kind: 'destroy-version',
  namespace: PROD,
  counter,
  modelId,
  versionId,
  versionDigest,
  state,
});
const ofKey = (kind: 'rotate-key' | 'destroy-key', counter: number, version: number, namespace = SYSTEM, keyId = KEK.id) =>
  ({ kind, namespace, counter, keyId, version }) as Operation;
const rewrapAll = async () => {
  const rewrapper = createRewrapper(vault.vault, () => undefined);
  while (!(await rewrapper.round()).idle);
};
const blobOf = ({ versionId }: Published) =>
  vault.row('SELECT wrapped_dek FROM versions WHERE version_id = ?', versionId)['wrapped_dek'] as Buffer;
/** Whether the HSM still opens a blob that a backup kept. */
const opens = (blob: Buffer, { namespace, modelId, versionId }: Published) => {
  const wrapped = decodeWrappedKey(blob);
  return codeFrom(vault.keys.unwrap(wrapped, dekWrapAad({ vaultId: vault.vault.vaultId, namespace, modelId, versionId }, wrapped.kek)));
};

describe('a version that two people decided to destroy', () => {
  test('is released to nobody from then on, and again when they take it back', async () => {
    const machine = await vault.machine('gpu-1');
    const version = await vault.publish('falcon', 'internal');
    await vault.twoPeople(destruction(version, 1));
    vault.expectDenied(await vault.ask({ machine, version }), 'version_destroyed');
    expect(await destroyVersions(vault.vault)).toMatchObject({ erased: [], waiting: [{ versionId: version.versionId }] });
    expect(await codeFrom(vault.twoPeople(destruction(version, 2)))).toBe('version_state_conflict');
    await vault.twoPeople(destruction(version, 2, 'kept'));
    expect((await vault.fetch(machine, await vault.granted({ machine, version }))).length).toBe(1000);
    vault.clock.advance(30 * DAY_SECONDS);
    expect(await destroyVersions(vault.vault)).toEqual({ erased: [], destroyed: [], pending: [], waiting: [] });
    expect(await codeFrom(vault.twoPeople(destruction(version, 3, 'kept')))).toBe('version_state_conflict');
  });

  test('is erased after the wait, and called destroyed only when every KEK version that may have wrapped it is: then a backup opens nothing', async () => {
    const machine = await vault.machine('gpu-1');
    const version = await vault.publish('falcon', 'internal');
    const survivor = await vault.publish('heron', 'internal');
    const backup = [blobOf(version)];
    await vault.twoPeople(ofKey('rotate-key', 1, 2));
    await rewrapAll();
    backup.push(blobOf(version));
    await vault.twoPeople(destruction(version, 1));
    vault.clock.advance(15 * DAY_SECONDS);
    const { versionId } = version;
    const pending = [{ versionId, keks: ['kek-default/1', 'kek-default/2'] }];
    expect(await destroyVersions(vault.vault)).toEqual({ erased: [versionId], destroyed: [], pending, waiting: [] });
    expect(blobOf(version)).toHaveLength(0);
    expect(vault.records('version.erased')).toMatchObject([{ v: 2, object: { versionId } }]);
    for (const blob of backup) expect(await opens(blob, version)).toBe('nothing thrown'); // so nobody may say that it is destroyed
    expect(await codeFrom(vault.twoPeople(destruction(version, 3, 'kept')))).toBe('version_destroyed');

    await vault.twoPeople(ofKey('rotate-key', 2, 3));
    await rewrapAll();
    await vault.twoPeople(ofKey('destroy-key', 3, 1));
    await vault.twoPeople(ofKey('destroy-key', 4, 2));
    vault.clock.advance(15 * DAY_SECONDS);
    expect((await destroyKeys(vault.vault)).gone).toHaveLength(2);
    expect(vault.records('key.destroyed')).toMatchObject([
      { destruction: { keks: ['kek-default/1'], remains: [] } },
      { destruction: { keks: ['kek-default/2'], remains: [] } },
    ]);
    expect(await destroyVersions(vault.vault)).toEqual({ erased: [], destroyed: [versionId], pending: [], waiting: [] });
    expect(vault.records('version.destroyed')).toMatchObject([
      { object: { versionId }, destruction: { keks: ['kek-default/1', 'kek-default/2'], remains: [] } },
    ]);
    for (const blob of backup) expect(await opens(blob, version)).toBe('key_unknown');
    expect(await destroyVersions(vault.vault)).toEqual({ erased: [], destroyed: [], pending: [], waiting: [] }); // said once
    expect((await vault.fetch(machine, await vault.granted({ machine, version: survivor }))).length).toBe(1000);
  });

  test('a restored backup of ciphertext and database cannot be opened', async () => {
    const machine = await vault.machine('gpu-1');
    const version = await vault.publish('falcon', 'internal');
    const copy = join(vault.site.folder, 'backup.db');
    snapshotSqlite(vault.site.file, copy, vault.clock); // what `wv backup` takes
    await vault.twoPeople(destruction(version, 1));
    vault.clock.advance(15 * DAY_SECONDS);
    await destroyVersions(vault.vault);
    await vault.twoPeople(ofKey('rotate-key', 1, 2));
    await rewrapAll();
    await vault.twoPeople(ofKey('destroy-key', 2, 1));
    vault.clock.advance(15 * DAY_SECONDS);
    await destroyKeys(vault.vault);
    expect((await destroyVersions(vault.vault)).destroyed).toEqual([version.versionId]);

    await vault.leave();
    for (const suffix of ['-wal', '-shm']) rmSync(vault.site.file + suffix, { force: true });
    copyFileSync(copy, vault.site.file);
    const node = await vault.addNode(); // as if nothing in it had ever been destroyed
    expect(blobOf(version).length).toBeGreaterThan(0);
    expect(await codeFrom(vault.ask({ node, machine, version }))).toBe('key_unknown');
  });

  test('what remains is named: a recovery key that a backup may be wrapped for', async () => {
    const { keyId, publicKey } = await newRecoveryKey();
    const key = { keyId, publicKey: toBase64(publicKey), shares: 3, needed: 2 };
    await vault.twoPeople({ kind: 'recovery-key', namespace: SYSTEM, counter: 1, ...key, state: 'active' });
    const version = await vault.publish('falcon', 'internal');
    await vault.twoPeople({ kind: 'recovery-key', namespace: SYSTEM, counter: 2, ...key, state: 'withdrawn' });
    await vault.twoPeople(destruction(version, 1));
    vault.clock.advance(15 * DAY_SECONDS);
    await destroyVersions(vault.vault);
    await vault.twoPeople(ofKey('rotate-key', 1, 2));
    await rewrapAll();
    await vault.twoPeople(ofKey('destroy-key', 2, 1));
    vault.clock.advance(15 * DAY_SECONDS);
    await destroyKeys(vault.vault);
    await destroyVersions(vault.vault);
    const remains = [{ what: 'recovery-wrap-in-backups', id: keyId }];
    expect(vault.records('version.destroyed')).toMatchObject([{ destruction: { keks: ['kek-default/1'], remains } }]);
  });

  test("of a namespace with a KEK of its own needs that one's versions, and the vault's only from before", async () => {
    const old = await vault.publish('falcon', 'internal');
    vault.clock.advance(60);
    await vault.twoPeople(ofKey('rotate-key', 1, 1, PROD, 'ns.prod' as KeyId));
    await rewrapAll();
    vault.clock.advance(60);
    const young = await vault.publish('heron', 'internal');
    for (const version of [old, young]) await vault.twoPeople(destruction(version, 1));
    vault.clock.advance(15 * DAY_SECONDS);
    const { pending } = await destroyVersions(vault.vault);
    expect(new Map(pending.map(({ versionId, keks }) => [versionId, keks]))).toEqual(
      new Map([
        [old.versionId, ['kek-default/1', 'ns.prod/1']],
        [young.versionId, ['kek-default/1', 'ns.prod/1']], // the vault's may wrap it while the namespace's has no active version: nothing is claimed too early
      ]),
    );
  });

  test('a row that a database writer put back opens while its KEK lives, and is refused all the same', async () => {
    const machine = await vault.machine('gpu-1');
    const version = await vault.publish('falcon', 'internal');
    const blob = blobOf(version);
    await vault.twoPeople(destruction(version, 1));
    vault.clock.advance(15 * DAY_SECONDS);
    await destroyVersions(vault.vault);
    vault.sql('UPDATE versions SET wrapped_dek = ? WHERE version_id = ?', blob, version.versionId);
    vault.expectDenied(await vault.ask({ machine, version }), 'version_destroyed');
    vault.sql('DELETE FROM document_slots WHERE slot = ?', `version-destruction:${version.versionId}`);
    vault.expectDenied(await vault.ask({ machine, version }), 'document_invalid');
  });
});

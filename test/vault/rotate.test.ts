/** Rotation (promise P8): a new KEK version, everything rewrapped, no weight rewritten; a crash anywhere leaves each key under exactly one version. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { VaultError } from '../../src/domain/errors.ts';
import { type KeyId, SYSTEM } from '../../src/domain/ids.ts';
import { decodeWrappedKey, encodeWrappedKey } from '../../src/keys/wrapped-key.ts';
import { requestApproval } from '../../src/vault/approve.ts';
import { destroyKeys } from '../../src/vault/destroy-keys.ts';
import { KEK } from '../../src/vault/init.ts';
import { activeKek, keyRing } from '../../src/vault/key-ring.ts';
import type { Operation } from '../../src/vault/operations/operation.ts';
import { createRewrapper } from '../../src/vault/rewrap.ts';
import { wrappedUnder } from '../../src/vault/wrapped-under.ts';
import { codeFrom, marker, PROD, type Published, TestVault } from './test-vault.ts';

let vault: TestVault;
beforeEach(async () => {
  vault = await TestVault.ready();
});
afterEach(() => vault.remove());

const rotation = (counter = 1, version = counter + 1): Operation => ({
  kind: 'rotate-key',
  namespace: SYSTEM,
  counter,
  keyId: KEK.id,
  version,
});
const destruction = (counter: number, version: number): Operation => ({
  kind: 'destroy-key',
  namespace: SYSTEM,
  counter,
  keyId: KEK.id,
  version,
});
const rewrapAll = async (node = vault.vault) => {
  const failures: string[] = [];
  const rewrapper = createRewrapper(node, (what) => failures.push(what));
  for (let rounds = 0; !(await rewrapper.round()).idle; rounds++) expect(rounds).toBeLessThan(100);
  return failures;
};
const inTx = <T>(work: Parameters<typeof vault.stores.unitOfWork.run<T>>[0]) => vault.stores.unitOfWork.run(work);
const counts = async () => Object.fromEntries(await inTx((tx) => wrappedUnder(tx, vault.vault)));
const kekOf = ({ versionId }: Published) =>
  decodeWrappedKey(vault.row('SELECT wrapped_dek FROM versions WHERE version_id = ?', versionId)['wrapped_dek'] as Uint8Array).kek.version;

/** Name and digest of every file with ciphertext. */
function ciphertext(): Record<string, string> {
  const folder = join(vault.site.folder, 'blobs');
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const digest = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
  return Object.fromEntries(files.map((file) => [file.name, digest(join(file.parentPath, file.name))]));
}

describe('a rotation', () => {
  test('rewraps every DEK and every seed, touches no ciphertext, and everything is served as before', async () => {
    const machine = await vault.machine('node-1');
    const versions = [];
    for (let at = 0; at < 3; at++) versions.push(await vault.publish(`model-${at}`, 'internal', { 'w.bin': marker(3000 + at) }));
    const before = ciphertext();
    expect(Object.keys(before).length).toBeGreaterThanOrEqual(3);
    expect(await counts()).toEqual({ 'kek-default/1': 6 }); // three versions, three people

    await vault.twoPeople(rotation());
    expect(await inTx((tx) => activeKek(PROD, tx, vault.vault))).toEqual({ id: KEK.id, version: 2 });
    expect(await rewrapAll()).toEqual([]);

    expect(await counts()).toEqual({ 'kek-default/2': 6 });
    expect(ciphertext()).toEqual(before);
    expect((await inTx((tx) => keyRing(SYSTEM, tx, vault.vault))).keks).toEqual([
      expect.objectContaining({ id: KEK.id, version: 1, state: 'deactivated', deactivatedAt: expect.any(String) }),
      expect.objectContaining({ id: KEK.id, version: 2, state: 'active', activatedAt: expect.any(String) }),
    ]);
    const other = await vault.addNode(); // a process that has leased nothing yet
    for (const [at, version] of versions.entries()) {
      const granted = await vault.granted({ node: other, machine, version });
      expect(await vault.fetch(machine, granted, 'w.bin', other)).toEqual(marker(3000 + at));
    }
    await vault.actor('alice'); // her seed opens under the new version
    expect(vault.records('key.rotated')).toMatchObject([{ outcome: 'success', key: { id: 'kek-default', version: 2 } }]);
    expect(vault.records('key.rewrapped')).toHaveLength(6);
  });

  test('what is published afterwards is wrapped under the new version alone', async () => {
    await vault.twoPeople(rotation());
    expect(kekOf(await vault.publish('late', 'internal'))).toBe(2);
  });

  test('a version started under the old key while the ring moved is refused, to be asked for again', async () => {
    await vault.publish('first', 'internal');
    const { wrap } = vault.keys;
    let rotated = false;
    vault.keys.wrap = async (kek, secret, aad) => {
      const wrapped = await wrap(kek, secret, aad);
      if (!rotated) {
        rotated = true;
        await vault.twoPeople(rotation());
      }
      return wrapped;
    };
    expect(await codeFrom(vault.publish('second', 'internal'))).toBe('key_rotating');
    expect(kekOf(await vault.publish('second', 'internal'))).toBe(2);
  });

  test('takes two people, and only the next version', async () => {
    const alice = await vault.as('alice');
    expect(await codeFrom(requestApproval(alice, rotation(1, 3), vault.vault))).toBe('key_state_conflict');
    expect(await codeFrom(requestApproval(alice, rotation(2, 2), vault.vault))).toBe('document_stale');
    const other: Operation = { kind: 'rotate-key', namespace: SYSTEM, counter: 1, keyId: 'access-log' as KeyId, version: 2 };
    expect(await codeFrom(requestApproval(alice, other, vault.vault))).toBe('key_state_conflict');
    expect((await requestApproval(alice, rotation(), vault.vault)).state).toBe('pending');
    expect(await inTx((tx) => activeKek(PROD, tx, vault.vault))).toEqual(KEK);
  });

  test('two in a row, the second before the first has rewrapped anything', async () => {
    const version = await vault.publish('m', 'internal');
    await vault.twoPeople(rotation(1));
    await vault.twoPeople(rotation(2));
    expect(await rewrapAll()).toEqual([]);
    expect(kekOf(version)).toBe(3);
    expect(Object.keys(await counts())).toEqual(['kek-default/3']);
  });

  test('finds the key that an interrupted one left in the HSM, and refuses one of another purpose', async () => {
    await vault.keys.generate({ id: KEK.id, version: 2 }, 'kek');
    await vault.twoPeople(rotation());
    await vault.keys.generate({ id: KEK.id, version: 3 }, 'log');
    expect(await codeFrom(vault.twoPeople(rotation(2)))).toBe('key_state_conflict');
    expect(await inTx((tx) => activeKek(PROD, tx, vault.vault))).toMatchObject({ version: 2 });
  });
});

describe('a rotation that is interrupted', () => {
  test('at every single HSM call in turn: each key stays under exactly one version that opens it, and the next pass finishes', async () => {
    const machine = await vault.machine('node-1');
    const versions = [];
    for (let at = 0; at < 4; at++) versions.push(await vault.publish(`model-${at}`, 'internal'));
    await vault.twoPeople(rotation());
    const { rewrap } = vault.keys;
    for (let stopAt = 1; stopAt <= 7; stopAt++) {
      let calls = 0;
      vault.keys.rewrap = async (...asked) => {
        calls++;
        if (calls === 2) throw new VaultError('keeper_unavailable', 'killed before it was done');
        return rewrap(...asked);
      };
      await rewrapAll().catch((error) => expect(error).toMatchObject({ code: 'keeper_unavailable' }));
      for (const version of versions) {
        const granted = await vault.granted({ node: await vault.addNode(), machine, version });
        expect((await vault.fetch(machine, granted)).length).toBe(1000);
      }
    }
    vault.keys.rewrap = rewrap;
    await rewrapAll();
    expect(await counts()).toEqual({ 'kek-default/2': 7 });
  });

  test('between the HSM and the database: the old blob stays, and nothing is recorded', async () => {
    const version = await vault.publish('m', 'internal');
    await vault.twoPeople(rotation());
    vault.database.exec("CREATE TRIGGER dies BEFORE UPDATE OF wrapped_dek ON versions BEGIN SELECT RAISE(ABORT, 'killed here'); END");
    const failures = await rewrapAll();
    expect(failures).toEqual([`version ${version.versionId}`]);
    expect(kekOf(version)).toBe(1);
    expect(vault.records('key.rewrapped').filter(({ object }) => object !== undefined)).toEqual([]);
    vault.database.exec('DROP TRIGGER dies');
    expect(await rewrapAll()).toEqual([]);
    expect(kekOf(version)).toBe(2);
  });

  test('two nodes at once do it once', async () => {
    for (let at = 0; at < 5; at++) await vault.publish(`model-${at}`, 'internal');
    await vault.twoPeople(rotation());
    const other = await vault.addNode();
    await Promise.all([rewrapAll(), rewrapAll(other.vault)]);
    await rewrapAll();
    expect(await counts()).toEqual({ 'kek-default/2': 8 });
    expect(vault.records('key.rewrapped')).toHaveLength(8);
  });

  test('a blob that was altered is left alone, named, and does not stop the others', async () => {
    const [broken, whole] = [await vault.publish('a', 'internal'), await vault.publish('b', 'internal')];
    const blob = vault.row('SELECT wrapped_dek FROM versions WHERE version_id = ?', broken.versionId)['wrapped_dek'] as Buffer;
    const wrapped = decodeWrappedKey(blob);
    const altered = encodeWrappedKey({ ...wrapped, bytes: wrapped.bytes.map((byte, at) => (at === 0 ? byte ^ 1 : byte)) });
    vault.sql('UPDATE versions SET wrapped_dek = ? WHERE version_id = ?', altered, broken.versionId);
    await vault.twoPeople(rotation());
    expect(await rewrapAll()).toEqual([`version ${broken.versionId}`]);
    expect([kekOf(broken), kekOf(whole)]).toEqual([1, 2]);
    const destroy = () => requestApproval(alice, destruction(2, 1), vault.vault);
    const alice = await vault.as('alice');
    expect(await codeFrom(destroy())).toBe('key_in_use');
    vault.sql('UPDATE versions SET wrapped_dek = ? WHERE version_id = ?', Buffer.from('nonsense'), broken.versionId);
    expect(await codeFrom(destroy())).toBe('key_in_use'); // nobody can tell what it needs
  });
});

describe('destroying a version of the KEK', () => {
  test('only a deactivated one that nothing is wrapped under; then it is gone from the HSM, recorded, and nothing else is lost', async () => {
    const machine = await vault.machine('node-1');
    const version = await vault.publish('m', 'internal');
    const alice = await vault.as('alice');
    expect(await codeFrom(requestApproval(alice, destruction(1, 1), vault.vault))).toBe('key_state_conflict'); // active
    await vault.twoPeople(rotation());
    expect(await codeFrom(requestApproval(alice, destruction(2, 1), vault.vault))).toBe('key_in_use');
    expect(await codeFrom(requestApproval(alice, destruction(2, 2), vault.vault))).toBe('key_state_conflict');
    await rewrapAll();

    await vault.twoPeople(destruction(2, 1));
    expect(await vault.keys.describe(KEK)).toMatchObject({ ref: KEK }); // decided, not yet done: that needs the HSM's own host
    expect(await destroyKeys(vault.vault)).toMatchObject({ gone: [], waiting: [KEK] });
    vault.clock.advance(14 * 86_400 - 3600);
    expect(await destroyKeys(vault.vault)).toMatchObject({ gone: [], waiting: [KEK] });
    vault.clock.advance(3601);
    expect(await destroyKeys(vault.vault)).toEqual({ gone: [KEK], waiting: [] });
    expect(await codeFrom(vault.keys.describe(KEK))).toBe('key_unknown');
    expect(await destroyKeys(vault.vault)).toEqual({ gone: [], waiting: [] }); // once
    expect(vault.records('key.destroyed')).toMatchObject([{ key: { id: 'kek-default', version: 1 } }]);

    const granted = await vault.granted({ node: await vault.addNode(), machine, version });
    expect((await vault.fetch(machine, granted)).length).toBe(1000);
    expect(await codeFrom(requestApproval(alice, rotation(4, 2), vault.vault))).toBe('key_state_conflict'); // a number is never used twice
  });

  test('without a decision there is nothing to destroy', async () => {
    await vault.twoPeople(rotation());
    await rewrapAll();
    expect(await destroyKeys(vault.vault)).toEqual({ gone: [], waiting: [] });
    expect(await vault.keys.describe(KEK)).toMatchObject({ ref: KEK });
  });

  test('a ring that a database writer points back is refused by a process that has seen the newer one', async () => {
    await vault.twoPeople(rotation());
    const { digest } = vault.row("SELECT digest FROM document_slots WHERE slot = 'key-ring'");
    await vault.twoPeople(rotation(2));
    await inTx((tx) => keyRing(SYSTEM, tx, vault.vault));
    vault.sql("UPDATE document_slots SET digest = ?, counter = 1 WHERE slot = 'key-ring'", digest);
    expect(await codeFrom(vault.publish('m', 'internal'))).toBe('document_invalid');
    vault.sql("DELETE FROM document_slots WHERE slot = 'key-ring'");
    expect(await codeFrom(vault.publish('m', 'internal'))).toBe('document_invalid');
  });
});

/** A class change: two people, for versions published before as well, and a row alone changes nothing. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { ClassName } from '../../src/domain/classes.ts';
import type { ModelId, VersionId } from '../../src/domain/ids.ts';
import { requestApproval } from '../../src/vault/approve.ts';
import { requestPromotion } from '../../src/vault/naming.ts';
import type { ChangeClass } from '../../src/vault/operations/operation.ts';
import { codeFrom, type Machine, PROD, type Published, TestVault } from './test-vault.ts';

let vault: TestVault;
let fleet: Machine;
let lab: Machine;
beforeEach(async () => {
  vault = await TestVault.ready();
  fleet = await vault.machine('node-1');
  lab = await vault.machine('lab-1', { attributes: { owner: 'us' } }); // internal, not restricted
});
afterEach(() => vault.remove());

const change = (model: Pick<Published, 'modelId'>, to: ClassName, counter = 1): ChangeClass => ({
  kind: 'class-change',
  namespace: PROD,
  counter,
  modelId: model.modelId,
  class: to,
});

test('raised: a version published before demands what its class demands now, and lives as long', async () => {
  const version = await vault.publish('m', 'internal');
  expect(await vault.ask({ machine: lab, version })).toMatchObject({ refused: false });
  await vault.twoPeople(change(version, 'restricted'));
  vault.expectDenied(await vault.ask({ machine: lab, version }), 'policy_denied');
  const { permit } = await vault.granted({ machine: fleet, version });
  expect(permit.expiresAt.getTime() - vault.clock.now().getTime()).toBe(3_600_000);
  expect(vault.records('release.begin').at(-1)?.object).toMatchObject({ class: 'restricted' });
  expect(await codeFrom(vault.upload('m', 'internal'))).toBe('model_exists');
  expect(await vault.publish('m', 'restricted')).toMatchObject({ model: 'm' });
});

test('lowered: two people, never one', async () => {
  const version = await vault.publish('m', 'restricted');
  const asked = await requestApproval(await vault.as('alice'), change(version, 'internal'), vault.vault);
  expect(asked.state).toBe('pending');
  vault.expectDenied(await vault.ask({ machine: lab, version }), 'policy_denied');
  await vault.twoPeople(change(version, 'internal'));
  expect(await vault.ask({ machine: lab, version })).toMatchObject({ refused: false });
});

describe('a version that one person could have promoted, whose model two people have raised meanwhile', () => {
  /** The HSM is away just when its publisher would have promoted it. */
  const quarantined = async () => {
    const { catalogueKey } = vault.vault;
    const { sign } = catalogueKey;
    let signed = 0;
    Object.assign(catalogueKey, {
      sign: async (message: Uint8Array) => (++signed < 2 ? sign(message) : Promise.reject(new Error('away'))),
    });
    await expect(vault.upload('m', 'internal')).rejects.toThrow('away');
    Object.assign(catalogueKey, { sign });
    const { version_id: version, model_id: modelId } = vault.row("SELECT version_id, model_id FROM versions WHERE state = 'quarantined'");
    return { version: version as VersionId, modelId: modelId as ModelId };
  };
  const promoted = async (version: VersionId) => requestPromotion(await vault.as('alice'), { namespace: PROD, version }, vault.vault);

  test('takes two', async () => {
    const { version, modelId } = await quarantined();
    await vault.twoPeople(change({ modelId }, 'restricted'));
    const asked = await promoted(version);
    expect(asked.state).toBe('pending');
    vault.expectDenied(await vault.ask({ machine: fleet, version: { model: 'm', versionId: version } }), 'version_quarantined');
    await vault.approve('bob', asked);
    expect(await vault.ask({ machine: fleet, version: { model: 'm', versionId: version } })).toMatchObject({ refused: false });
  });

  test('takes two also when they did it while its promotion was being signed', async () => {
    const { version, modelId } = await quarantined();
    const { catalogueKey } = vault.vault;
    const { sign } = catalogueKey;
    let signed = 0;
    const slow = async (message: Uint8Array) => {
      if (++signed === 2) {
        Object.assign(catalogueKey, { sign });
        await vault.twoPeople(change({ modelId }, 'restricted')); // the first was her request, this is the promotion
      }
      return sign(message);
    };
    Object.assign(catalogueKey, { sign: slow });
    expect(await codeFrom(promoted(version))).toBe('approval_changed');
    expect(vault.records('version.promoted')).toEqual([]);
    vault.expectDenied(await vault.ask({ machine: fleet, version: { model: 'm', versionId: version } }), 'version_quarantined');
  });
});

test('a row that says another class lowers nothing; the same class, or out of turn, is no change', async () => {
  const version = await vault.publish('m', 'restricted');
  vault.sql("UPDATE models SET class = 'public' WHERE model_id = ?", version.modelId);
  vault.expectDenied(await vault.ask({ machine: lab, version }), 'policy_denied');
  vault.sql("UPDATE models SET class = 'restricted' WHERE model_id = ?", version.modelId);
  expect(await codeFrom(vault.twoPeople(change(version, 'restricted')))).toBe('request_invalid');
  expect(await codeFrom(vault.twoPeople(change(version, 'internal', 2)))).toBe('document_stale');
});

test('the change of another model put in the slot is document_invalid; a vanished one too, in a process that has seen it', async () => {
  const [mine, other] = [await vault.publish('m', 'internal'), await vault.publish('n', 'internal')];
  await vault.twoPeople(change(mine, 'restricted'));
  await vault.twoPeople(change(other, 'public'));
  vault.expectDenied(await vault.ask({ machine: lab, version: mine }), 'policy_denied');
  const slotOf = (model: Published) => `class-change:${model.modelId}`;
  const { digest } = vault.row('SELECT digest FROM document_slots WHERE slot = ?', slotOf(other));
  vault.sql('UPDATE document_slots SET digest = ? WHERE slot = ?', digest, slotOf(mine));
  vault.expectDenied(await vault.ask({ machine: lab, version: mine }), 'document_invalid');
  vault.sql('DELETE FROM document_slots WHERE slot = ?', slotOf(mine));
  vault.expectDenied(await vault.ask({ machine: lab, version: mine }), 'document_invalid');
});

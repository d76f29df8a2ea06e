/** Promise P9: a name moves only by consent, and an older version cannot be passed off as the current one. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { VersionId } from '../../src/domain/ids.ts';
import { requestApproval } from '../../src/vault/approve.ts';
import { requestPromotion } from '../../src/vault/naming.ts';
import type { SetAlias } from '../../src/vault/operations/operation.ts';
import { codeFrom, type Machine, marker, PROD, type Published, TestVault } from './test-vault.ts';

let vault: TestVault;
let machine: Machine;
beforeEach(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('node-1');
});
afterEach(() => vault.remove());

const named = (version: Published, counter: number, name = 'prod'): SetAlias => ({
  kind: 'alias',
  namespace: PROD,
  counter,
  modelId: version.modelId,
  name,
  versionId: version.versionId,
  versionDigest: version.versionDigest,
});
const set = async (alias: SetAlias) => (await requestApproval(await vault.as('alice'), alias, vault.vault)).state;
const byName = (model: string, aliasCounter?: number, name = 'prod') =>
  vault.ask({ machine, version: { model, versionId: name as VersionId }, ...(aliasCounter !== undefined && { aliasCounter }) });

describe('an alias', () => {
  test('names a version; when it moves, the same request gets the other one, and the record says what was asked for', async () => {
    const [first, second] = [
      await vault.publish('m', 'internal', { a: marker(10) }),
      await vault.publish('m', 'internal', { a: marker(20) }),
    ];
    expect(await set(named(first, 1))).toBe('executed'); // internal takes one person
    expect(await byName('m')).toMatchObject({ permit: { versionId: first.versionId }, alias: { name: 'prod', counter: 1 } });
    expect(await set(named(second, 2))).toBe('executed');
    expect(await byName('m', 1)).toMatchObject({ permit: { versionId: second.versionId }, alias: { counter: 2 } });
    expect(vault.records('release.begin').at(-1)?.object).toMatchObject({ requested: { model: 'm', version: 'prod' } });
    expect(vault.records('document.activated').at(-1)?.document).toMatchObject({
      kind: 'alias',
      counter: 2,
      item: `${first.modelId}:prod`,
    });
  });

  test('of a restricted model takes two people', async () => {
    const version = await vault.publish('secret', 'restricted');
    expect(await set(named(version, 1))).toBe('pending');
    vault.expectDenied(await byName('secret'), 'version_unknown');
    await vault.twoPeople(named(version, 1));
    expect(await byName('secret')).toMatchObject({ refused: false });
  });

  test('never names what is in quarantine, of another model, of another digest, or out of turn', async () => {
    const waiting = await vault.upload('m', 'restricted');
    expect(await codeFrom(set(named(waiting, 1)))).toBe('version_quarantined');
    const version = await vault.publish('n', 'internal');
    expect(await codeFrom(set({ ...named(version, 1), modelId: waiting.modelId }))).toBe('version_unknown');
    expect(await codeFrom(set({ ...named(version, 1), versionDigest: waiting.versionDigest }))).toBe('approval_changed');
    expect(await codeFrom(set(named(version, 2)))).toBe('document_stale');
    expect(await codeFrom(set(named(version, 0)))).toBe('document_stale');
    vault.expectDenied(await byName('n'), 'version_unknown');
    vault.expectDenied(await byName('n', undefined, 'other'), 'version_unknown');
    await expect(byName('n', undefined, '../n')).rejects.toMatchObject({ code: 'request_invalid' });
  });
});

describe('a stale alias', () => {
  test('is refused to a requester who has seen a newer one, by a process that has not', async () => {
    const [first, second] = [await vault.publish('m', 'internal'), await vault.publish('m', 'internal')];
    await set(named(first, 1));
    const { digest } = vault.row("SELECT digest FROM document_slots WHERE slot LIKE 'alias:%'");
    await set(named(second, 2));
    vault.sql("UPDATE document_slots SET digest = ?, counter = 1 WHERE slot LIKE 'alias:%'", digest);
    const node = await vault.addNode(); // knows nothing of counter 2
    const asked = { machine, node, version: { model: 'm', versionId: 'prod' as VersionId } };
    vault.expectDenied(await vault.ask({ ...asked, aliasCounter: 2 }), 'alias_stale');
    expect(await vault.ask({ ...asked, aliasCounter: 1 })).toMatchObject({ permit: { versionId: first.versionId } }); // who never saw 2 cannot tell
  });

  test('is document_invalid in a process that has seen the newer one, also when the row is gone', async () => {
    const [first, second] = [await vault.publish('m', 'internal'), await vault.publish('m', 'internal')];
    await set(named(first, 1));
    const { digest } = vault.row("SELECT digest FROM document_slots WHERE slot LIKE 'alias:%'");
    await set(named(second, 2));
    expect(await byName('m')).toMatchObject({ alias: { counter: 2 } });
    vault.sql("UPDATE document_slots SET digest = ?, counter = 1 WHERE slot LIKE 'alias:%'", digest);
    vault.expectDenied(await byName('m'), 'document_invalid');
    vault.sql("DELETE FROM document_slots WHERE slot LIKE 'alias:%'");
    vault.expectDenied(await byName('m'), 'document_invalid');
  });

  test('of another model or another name put in the slot is document_invalid', async () => {
    const [mine, other] = [await vault.publish('m', 'internal'), await vault.publish('n', 'internal')];
    await set(named(mine, 1));
    await set(named(other, 1));
    await set(named(mine, 1, 'canary'));
    const digestOf = (slot: string) => vault.row('SELECT digest FROM document_slots WHERE slot = ?', slot)['digest'];
    for (const slot of [`alias:${other.modelId}:prod`, `alias:${mine.modelId}:canary`]) {
      vault.sql('UPDATE document_slots SET digest = ? WHERE slot = ?', digestOf(slot), `alias:${mine.modelId}:prod`);
      vault.expectDenied(await byName('m'), 'document_invalid');
    }
  });
});

test('a promotion that nobody approved in time can be asked for again', async () => {
  const waiting = await vault.upload('m', 'restricted');
  vault.clock.advance(14_401);
  const again = await requestPromotion(await vault.actor('alice'), { namespace: PROD, version: waiting.versionId }, vault.vault);
  expect(again).toMatchObject({ state: 'pending' });
  await vault.approve('bob', again);
  expect(await vault.ask({ machine, version: waiting })).toMatchObject({ refused: false });
  const twice = requestPromotion(await vault.actor('alice'), { namespace: PROD, version: waiting.versionId }, vault.vault);
  expect(await codeFrom(twice)).toBe('version_state_conflict');
});

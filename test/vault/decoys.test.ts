/** Decoys: a requester cannot tell one, and whoever touches it is told of. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { openReceipt } from '../../src/audit/receipt.ts';
import { formatVkey } from '../../src/audit/vkey.ts';
import { isRefusal } from '../../src/domain/evidence.ts';
import { SYSTEM } from '../../src/domain/ids.ts';
import { requestDecoy } from '../../src/vault/decoys.ts';
import { alertFollower } from '../../src/vault/log-readers.ts';
import { readReceipt } from '../../src/vault/receipt.ts';
import { shippedRules } from '../alerts/shipped.ts';
import { codeFrom, type Machine, PROD, type Published, TestVault } from './test-vault.ts';

let vault: TestVault;
let machine: Machine;
let real: Published;
let decoy: Published;
beforeEach(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('gpu-1');
  real = await vault.publish('falcon', 'restricted');
  decoy = await vault.publish('falcon-next', 'restricted');
  await vault.stepUp('alice');
  const asked = await requestDecoy(await vault.as('alice'), { namespace: PROD, model: 'falcon-next', state: 'decoy' }, vault.vault);
  expect(asked.state).toBe('pending');
  await vault.approve('bob', asked);
});
afterEach(() => vault.remove());

const touches = () =>
  vault
    .records('decoy.touched')
    .map(({ outcome, detail, object, actor }) => ({ outcome, detail, model: object?.['modelId'], who: actor['subjectId'] }));
/** What differs for a reason that has nothing to do with decoys. */
const shape = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return 'bytes';
  if (value instanceof Date) return 'date';
  if (Array.isArray(value)) return value.map(shape);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, shape(one)]));
  return typeof value === 'string' && /^[0-9a-f-]{36}$|^[0-9a-f]{64}$|^[A-Za-z0-9+/]{90,}=*$/.test(value) ? value.length : value;
};

describe('to a requester', () => {
  test('it answers as a real one does: a release, its bytes, its receipt', async () => {
    const [ofReal, ofDecoy] = [await vault.granted({ machine, version: real }), await vault.granted({ machine, version: decoy })];
    expect(shape(ofDecoy)).toEqual(shape(ofReal));
    const [bytesOfReal, bytesOfDecoy] = [await vault.fetch(machine, ofReal), await vault.fetch(machine, ofDecoy)];
    expect(bytesOfDecoy.length).toBe(bytesOfReal.length);
    await vault.node.sequencer.tick();
    const receipt = async ({ permit }: typeof ofReal) => {
      const request = { requestId: 'r', namespace: PROD, releaseId: permit.releaseId, spki: machine.spki, remoteAddress: '192.0.2.7' };
      const answer = await readReceipt(request, vault.vault);
      if (!(answer instanceof Uint8Array)) throw new Error('no receipt');
      return Buffer.from(openReceipt(answer, formatVkey(vault.vault.logKey)).leaf).toString('utf8');
    };
    const [first, second] = [await receipt(ofReal), await receipt(ofDecoy)];
    expect(Object.keys(JSON.parse(second)).sort()).toEqual(Object.keys(JSON.parse(first)).sort());
    expect(second).not.toMatch(/decoy|signal/);
  });

  test('and is refused as a real one is, whatever is wrong', async () => {
    const unknown = await vault.machine('gpu-2', { pcrs: { sha256: { '7': 'ff'.repeat(32) } } });
    for (const asking of [{ machine: unknown }, { machine, evidence: [] }, { machine, challengeId: null }]) {
      const [ofReal, ofDecoy] = [await vault.ask({ ...asking, version: real }), await vault.ask({ ...asking, version: decoy })];
      expect(isRefusal(ofDecoy)).toBe(true);
      expect(JSON.stringify(shape(ofDecoy)).replaceAll('falcon-next', 'falcon')).toEqual(JSON.stringify(shape(ofReal)));
    }
  });
});

describe('a touch', () => {
  test('is on record: asked, released, read once, also by whoever was refused; of a real model nothing is', async () => {
    const granted = await vault.granted({ machine, version: decoy });
    for (let at = 0; at < 3; at++) await vault.fetch(machine, granted);
    await vault.ask({ machine, version: decoy, evidence: [] });
    await vault.fetch(machine, await vault.granted({ machine, version: real }));
    const at = { model: decoy.modelId, who: machine.subjectId };
    expect(touches()).toEqual([
      { outcome: 'permit', detail: 'released', ...at },
      { outcome: 'permit', detail: 'read', ...at },
      { outcome: 'deny', detail: 'asked', model: decoy.modelId, who: undefined },
    ]);
  });

  test('fires A08, and the requester is blocked before its next request', async () => {
    await vault.twoPeople({ kind: 'alert-rules', namespace: SYSTEM, counter: 1, rules: shippedRules() });
    const follower = alertFollower(vault.vault);
    const settle = async () => {
      await vault.node.sequencer.tick();
      while ((await follower.tick()) === 'moved') await vault.node.sequencer.tick();
    };
    await settle();
    await vault.granted({ machine, version: decoy });
    await settle();
    vault.expectDenied(await vault.ask({ machine, version: real }), 'subject_blocked');
    await follower.stop();
  });

  test('of a model that is ordinary again is none', async () => {
    const again = async () => requestDecoy(await vault.as('alice'), { namespace: PROD, model: 'falcon-next', state: 'decoy' }, vault.vault);
    await vault.stepUp('alice');
    expect(await codeFrom(again())).toBe('request_invalid');
    await vault.approve(
      'bob',
      await requestDecoy(await vault.as('alice'), { namespace: PROD, model: 'falcon-next', state: 'ordinary' }, vault.vault),
    );
    await vault.granted({ machine, version: decoy });
    expect(touches()).toEqual([]);
  });
});

/** A fresh code for what is dangerous: bound to one operation, spent once, and never the code of the login again. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { sha256Hex } from '../../src/domain/bytes.ts';
import { VaultError } from '../../src/domain/errors.ts';
import { type Digest, SYSTEM } from '../../src/domain/ids.ts';
import { canonicalJson } from '../../src/domain/json.ts';
import { approve, requestApproval } from '../../src/vault/approve.ts';
import type { AdminActor } from '../../src/vault/authorize.ts';
import type { Operation } from '../../src/vault/operations/operation.ts';
import { stepUp } from '../../src/vault/step-up.ts';
import { codeFrom, PROD, type Published, TestVault } from './test-vault.ts';

let vault: TestVault;
let waiting: Published;
let bob: AdminActor;
beforeEach(async () => {
  vault = await TestVault.make();
  waiting = await vault.upload('falcon', 'restricted'); // by alice
  bob = await vault.as('bob');
  vault.clock.advance(30); // the code of the login was used
});
afterEach(() => vault.remove());

const give = async (operationDigest?: Digest, code?: string) =>
  codeFrom(stepUp(bob, { code: code ?? (await vault.code('bob')), operationDigest }, vault.vault));
const consent = (node = vault.node) => codeFrom(approve(bob, waiting.requestId, waiting.operationDigest, node.vault));
const wrong = () => vault.wrongCode('bob');

describe('consenting', () => {
  test('takes a code given for that very operation; it is recorded, and spent by it', async () => {
    expect(await consent()).toBe('step_up_required');
    expect(await give(waiting.operationDigest)).toBe('nothing thrown');
    expect(vault.lastRecord()).toMatchObject({ type: 'admin.login', outcome: 'success', detail: `step-up for ${waiting.operationDigest}` });
    expect(await consent()).toBe('nothing thrown');
    expect(vault.row('SELECT step_up_for AS f FROM sessions WHERE token_digest = ?', bob.session)['f']).toBeNull();
  });

  test('names the digest that the code must be given for', async () => {
    await expect(approve(bob, waiting.requestId, waiting.operationDigest, vault.vault)).rejects.toMatchObject({
      code: 'step_up_required',
      detail: `operation ${waiting.operationDigest}`,
    });
  });

  test.each<[string, () => Promise<unknown>]>([
    ['the login alone, however fresh', async () => vault.clock.advance(1)],
    ['a code given in general', () => give()],
    ['a code given for another operation', () => give('d'.repeat(64) as Digest)],
    ['a code given for it 300 s ago', () => give(waiting.operationDigest).then(() => vault.clock.advance(300))],
    ['a code that was given for it, and then one for another', () => twice(waiting.operationDigest, 'd'.repeat(64) as Digest)],
  ])('is not done with %s', async (_what, prepare) => {
    await prepare();
    expect(await consent()).toBe('step_up_required');
    expect(vault.records('version.promoted')).toHaveLength(0);
  });

  test('is still possible 299 s after the code', async () => {
    await give(waiting.operationDigest);
    vault.clock.advance(299);
    expect(await consent()).toBe('nothing thrown');
  });

  test('on two nodes at once spends one code once', async () => {
    const other = await vault.addNode();
    await give(waiting.operationDigest);
    const answers = await Promise.all(Array.from({ length: 10 }, (_, at) => consent(at % 2 === 0 ? vault.node : other)));
    expect(answers.filter((answer) => answer === 'nothing thrown')).toHaveLength(1);
    expect(vault.records('version.promoted')).toHaveLength(1);
  });

  test('is refused for its other reasons before a code is asked for', async () => {
    const alice = await vault.as('alice');
    expect(await codeFrom(approve(alice, waiting.requestId, waiting.operationDigest, vault.vault))).toBe('approval_self');
    expect(await codeFrom(approve(bob, waiting.requestId, 'd'.repeat(64) as Digest, vault.vault))).toBe('approval_changed');
  });
});

async function twice(first: Digest, second: Digest): Promise<void> {
  expect(await give(first)).toBe('nothing thrown');
  vault.clock.advance(30);
  expect(await give(second)).toBe('nothing thrown');
}

describe('a code', () => {
  test('used to log in is not good for a step-up', async () => {
    const used = await vault.code('bob');
    await vault.login('bob'); // moves on by one step and uses its code
    expect(await give(undefined, used)).toBe('login_refused');
    expect(await give()).toBe('login_refused');
    expect(vault.lastRecord()).toMatchObject({ type: 'admin.denied', reason: 'login_refused', detail: 'step-up' });
    vault.clock.advance(30);
    expect(await give()).toBe('nothing thrown');
  });

  test('given twice at once on two nodes steps up once', async () => {
    const other = await vault.addNode();
    const code = await vault.code('bob');
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, at) => codeFrom(stepUp(bob, { code }, at % 2 === 0 ? vault.vault : other.vault))),
    );
    expect(answers.filter((answer) => answer === 'nothing thrown')).toHaveLength(1);
  });

  test.each([
    ['of somebody else', () => vault.code('alice')],
    ['with spaces', async () => `${(await vault.code('bob')).slice(0, 3)} ${(await vault.code('bob')).slice(3)}`],
    ['in Arabic-Indic digits', async () => (await vault.code('bob')).replace(/\d/g, (one) => String.fromCharCode(0x660 + Number(one)))],
    ['that is empty', async () => ''],
  ])('%s is refused, and steps nobody up', async (_what, code) => {
    expect(await give(waiting.operationDigest, await code())).toBe('login_refused');
    expect(await consent()).toBe('step_up_required');
  });

  test('wrong five times locks this name on this workstation, logins included, for ten minutes', async () => {
    for (let at = 0; at < 5; at++) expect(await give(undefined, await wrong())).toBe('login_refused');
    expect(await give()).toBe('login_locked');
    expect(vault.lastRecord()).toMatchObject({ type: 'admin.denied', reason: 'login_locked' });
    expect(await codeFrom(vault.login('bob'))).toBe('login_locked');
    vault.clock.advance(600);
    expect(await give()).toBe('nothing thrown');
  });

  test('that the HSM could not check is neither used nor counted', async () => {
    vault.keys.failUnwrap = new VaultError('hsm_unavailable');
    for (let at = 0; at < 8; at++) expect(await give()).toBe('hsm_unavailable');
    vault.keys.failUnwrap = undefined;
    expect(await give()).toBe('nothing thrown');
  });

  test('of a session that was ended meanwhile steps nobody up', async () => {
    vault.sql('DELETE FROM sessions WHERE token_digest = ?', bob.session);
    expect(await give()).toBe('session_expired');
  });
});

describe('asking for something dangerous', () => {
  const lowerClass = (): Operation => ({
    kind: 'class-change',
    namespace: PROD,
    counter: 1,
    modelId: waiting.modelId,
    class: 'internal',
  });
  const ask = (operation: Operation) => codeFrom(requestApproval(bob, operation, vault.vault));

  test('takes a code of the last five minutes; the login’s counts', async () => {
    expect(await ask(lowerClass())).toBe('nothing thrown');
    vault.clock.advance(300);
    expect(await ask(lowerClass())).toBe('step_up_required');
    expect(await give()).toBe('nothing thrown');
    expect(await ask(lowerClass())).toBe('nothing thrown');
  });

  test('a change of an administrator too', async () => {
    const { administratorId } = await vault.as('carol');
    const removal: Operation = {
      kind: 'administrator',
      namespace: SYSTEM,
      counter: 2,
      administratorId,
      name: 'carol',
      state: 'removed',
      roles: [],
      workstations: ['c'.repeat(64) as Digest],
      authenticator: 'keep',
    };
    vault.clock.advance(300);
    expect(await ask(removal)).toBe('step_up_required');
    await vault.stepUp('bob');
    expect(await ask(removal)).toBe('nothing thrown');
  });

  test('the harness steps up as a code does', async () => {
    const operationDigest = sha256Hex(canonicalJson({ any: 'thing' })) as Digest;
    const given = () => vault.row('SELECT step_up_at AS at, step_up_for AS f FROM sessions WHERE token_digest = ?', bob.session);
    await give(operationDigest);
    const byCode = given();
    await vault.stepUp('bob', operationDigest);
    expect(given()).toEqual(byCode);
  });
});

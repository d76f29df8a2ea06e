/** Two-person control (promise P7), tried by everyone who is not two people. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Digest } from '../../src/domain/ids.ts';
import { approve, pendingApprovals, requestApproval } from '../../src/vault/approve.ts';
import type { AdminActor } from '../../src/vault/authorize.ts';
import type { Operation } from '../../src/vault/operations/operation.ts';
import { codeFrom, GOOD_VALUE, type Machine, PROD, type Published, starterPolicies, TestVault, workstationOf } from './test-vault.ts';

let vault: TestVault;
let machine: Machine;
let waiting: Published;
let alice: AdminActor;
let bob: AdminActor;
beforeEach(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('gpu-1');
  waiting = await vault.upload('falcon', 'restricted'); // by alice
  [alice, bob] = [await vault.as('alice'), await vault.as('bob')];
});
afterEach(() => vault.remove());

const consent = (actor: AdminActor, digest = waiting.operationDigest, node = vault.node) =>
  approve(actor, waiting.requestId, digest, node.vault);
const consentOfBob = async () => {
  await vault.stepUp('bob', waiting.operationDigest);
  return consent(bob);
};
const policySet = (counter: number, policies = starterPolicies('public')): Operation => ({
  kind: 'policy-set',
  namespace: PROD,
  counter,
  policies,
});
const quarantined = async () => vault.expectDenied(await vault.ask({ machine, version: waiting }), 'version_quarantined');

describe('one person', () => {
  test('cannot approve their own request', async () => {
    expect(await codeFrom(consent(alice))).toBe('approval_self');
    expect(vault.lastRecord()).toMatchObject({
      type: 'approval.refused',
      outcome: 'deny',
      reason: 'approval_self',
      actor: { administratorId: alice.administratorId },
    });
    await quarantined();
  });

  test.each<[string, (actors: { alice: AdminActor; bob: AdminActor }) => AdminActor]>([
    ['from another workstation and with another authenticator', (who) => ({ ...who.bob, administratorId: who.alice.administratorId })],
    ['under another name, from the same workstation', (who) => ({ ...who.bob, workstation: who.alice.workstation })],
    ['under another name, with the same authenticator', (who) => ({ ...who.bob, authenticatorId: who.alice.authenticatorId })],
  ])('cannot approve it %s either', async (_how, as) => {
    expect(await codeFrom(consent(as({ alice, bob })))).toBe('approval_self');
    await quarantined();
  });

  test('cannot put a policy set, reference values or anchors in force', async () => {
    const operations: Operation[] = [
      policySet(2),
      { kind: 'reference-values', namespace: PROD, counter: 2, values: [GOOD_VALUE] },
      { kind: 'trust-anchors', namespace: PROD, counter: 2, anchors: [] },
    ];
    for (const operation of operations) {
      const asked = await requestApproval(alice, operation, vault.vault);
      expect(asked.state).toBe('pending');
      expect(await codeFrom(approve(alice, asked.requestId, asked.operationDigest, vault.vault))).toBe('approval_self');
    }
    expect(vault.database.prepare("SELECT max(counter) AS n FROM document_slots WHERE namespace = 'prod'").get()).toEqual({ n: 1 });
  });
});

describe('the second person', () => {
  test('sees the exact operation, consents to its digest, and it happens once, recorded', async () => {
    const [shown] = await pendingApprovals(bob, PROD, vault.vault);
    expect(shown).toMatchObject({
      requestId: waiting.requestId,
      operation: { kind: 'promote', versionId: waiting.versionId, class: 'restricted' },
    });
    await vault.stepUp('bob', shown?.operationDigest);
    expect((await consent(bob, shown?.operationDigest)).state).toBe('executed');
    expect(vault.records().slice(-2)).toMatchObject([
      {
        type: 'approval.executed',
        actor: { administratorId: bob.administratorId },
        operation: { operationDigest: waiting.operationDigest },
      },
      { type: 'version.promoted', object: { versionDigest: waiting.versionDigest }, document: { kind: 'promotion' } },
    ]);
    expect((await vault.ask({ machine, version: waiting })).refused).toBe(false);
    expect(await pendingApprovals(bob, PROD, vault.vault)).toEqual([]);
  });

  test('who consents to another digest consents to nothing: approval_changed, recorded', async () => {
    expect(await codeFrom(consent(bob, '0'.repeat(64) as Digest))).toBe('approval_changed');
    expect(vault.lastRecord()).toMatchObject({ type: 'approval.refused', reason: 'approval_changed' });
    await quarantined();
  });

  test('without the role is denied, recorded, and the request waits on', async () => {
    const carol = await vault.as('carol');
    expect(await codeFrom(consent(carol))).toBe('action_denied');
    expect(vault.lastRecord()).toMatchObject({
      type: 'admin.denied',
      reason: 'action_denied',
      actor: { administratorId: carol.administratorId },
    });
    expect((await consentOfBob()).state).toBe('executed');
  });

  test('comes too late after four hours, and in time a second before', async () => {
    vault.clock.advance(4 * 3600 - 60 - 1); // logging in took a minute
    const inTime = await vault.upload('heron', 'restricted');
    expect((await vault.approve('bob', inTime)).state).toBe('executed');
    vault.clock.advance(62);
    expect(await codeFrom(consentOfBob())).toBe('approval_settled');
    expect(vault.lastRecord()).toMatchObject({ type: 'approval.refused', reason: 'approval_settled' });
    await quarantined();
  });

  test('twice at once, on two nodes, is executed once', async () => {
    const other = await vault.addNode();
    await vault.stepUp('bob', waiting.operationDigest);
    const answers = await Promise.all([
      codeFrom(consent(bob)),
      codeFrom(consent(bob, waiting.operationDigest, other)),
      codeFrom(consent(bob)),
      codeFrom(consent(bob, waiting.operationDigest, other)),
    ]);
    expect(answers.filter((answer) => answer === 'nothing thrown')).toHaveLength(1);
    for (const answer of answers)
      expect(['nothing thrown', 'approval_settled', 'version_state_conflict', 'step_up_required']).toContain(answer);
    expect(vault.records('version.promoted')).toHaveLength(1);
  });

  test('of a request that never was: request_unknown', async () => {
    expect(
      await codeFrom(
        approve(bob, '019bc0de-0000-7000-8000-000000000001' as typeof waiting.requestId, waiting.operationDigest, vault.vault),
      ),
    ).toBe('request_unknown');
  });
});

describe('documents in force', () => {
  test.each([0, 1, 3, -1])('cannot be replaced with counter %d when 1 is in force: document_stale', async (counter) => {
    expect(await codeFrom(requestApproval(alice, policySet(counter), vault.vault))).toBe('document_stale');
  });

  test('that were replaced meanwhile make the older request stale', async () => {
    const [first, second] = [
      await requestApproval(alice, policySet(2), vault.vault),
      await requestApproval(alice, policySet(2, {}), vault.vault),
    ];
    await vault.approve('bob', second);
    expect(await codeFrom(vault.approve('bob', first))).toBe('document_stale');
    expect(vault.lastRecord()).toMatchObject({ type: 'approval.refused', outcome: 'deny', reason: 'document_stale' });
  });

  test('approved at once by two requests for the same counter change once', async () => {
    const other = await vault.addNode();
    const asked = [await requestApproval(alice, policySet(2), vault.vault), await requestApproval(alice, policySet(2, {}), vault.vault)];
    const dave = await vault.approver('dave');
    await vault.stepUp('bob', asked[0]?.operationDigest);
    await vault.stepUp('dave', asked[1]?.operationDigest);
    const answers = await Promise.all(
      asked.map((one, at) =>
        codeFrom(approve(at === 0 ? bob : dave, one.requestId, one.operationDigest, at === 0 ? vault.vault : other.vault)),
      ),
    );
    expect(answers.sort()).toEqual(['document_stale', 'nothing thrown']);
    expect(vault.records('document.activated').filter(({ document }) => document?.['counter'] === 2)).toHaveLength(1);
  });

  test.each([
    ['does not parse', { broken: 'permit (' }],
    [
      'names what the schema does not know',
      { wrong: 'permit (principal is WeightVault::Requester, action, resource) when { principal.color == "red" };' },
    ],
    ['has a template', { template: 'permit (principal == ?principal, action, resource);' }],
    ['has one bad policy among good ones', { ...starterPolicies('public'), broken: 'forbid' }],
  ])('are refused whole when the policy set %s: nobody is asked to approve it', async (_what, policies) => {
    const before = vault.records('approval.requested').length;
    expect(await codeFrom(requestApproval(alice, policySet(2, policies as Record<string, string>), vault.vault))).toBe('policy_invalid');
    expect(vault.records('approval.requested').length).toBe(before);
    expect(await pendingApprovals(bob, PROD, vault.vault)).toHaveLength(1); // the promotion alone
  });
});

test('a request by someone without the role is denied, recorded, and asks nobody', async () => {
  const carol = await vault.as('carol');
  expect(await codeFrom(requestApproval(carol, policySet(2), vault.vault))).toBe('action_denied');
  expect(vault.lastRecord()).toMatchObject({ type: 'admin.denied', reason: 'action_denied' });
  expect(carol.workstation).toBe(workstationOf('carol'));
});

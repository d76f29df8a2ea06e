/**
 * Every operation that waits for a second person, tried by everyone who is not one: the same table for all kinds, because the same code
 * carries them. A new kind needs an example here, or the first test asks for it.
 */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { sha256Hex, toBase64 } from '../../src/domain/bytes.ts';
import { type AdministratorId, type Digest, type KeyId, newId, SYSTEM } from '../../src/domain/ids.ts';
import { canonicalJson } from '../../src/domain/json.ts';
import { newRecoveryKey } from '../../src/keys/recovery-wrap.ts';
import { type ApprovalAnswer, approve, cancelRequest, pendingApprovals, requestApproval } from '../../src/vault/approve.ts';
import type { AdminActor } from '../../src/vault/authorize.ts';
import { blockSubject } from '../../src/vault/block.ts';
import { KEK } from '../../src/vault/init.ts';
import type { Operation } from '../../src/vault/operations/operation.ts';
import { OPERATION_ACTIONS } from '../../src/vault/operations/registry.ts';
import { createRewrapper } from '../../src/vault/rewrap.ts';
import { shippedRules } from '../alerts/shipped.ts';
import { ALL_ROLES, ANCHOR, codeFrom, GOOD_VALUE, PROD, starterPolicies, TestVault, workstationOf } from './test-vault.ts';

let vault: TestVault;
let alice: AdminActor;
let bob: AdminActor;
beforeEach(async () => {
  vault = await TestVault.ready(); // counter 1 of policies, reference values and anchors is in force in prod
  [alice, bob] = [await vault.as('alice'), await vault.as('bob')];
});
afterEach(() => vault.remove());

const rotation: Operation = { kind: 'rotate-key', namespace: SYSTEM, counter: 1, keyId: KEK.id, version: 2 };

/** What alice asks for, after what it takes to be able to. */
const EXAMPLES: { readonly [K in Operation['kind']]: () => Promise<Extract<Operation, { kind: K }>> } = {
  promote: async () => {
    const { modelId, versionId, versionDigest } = await vault.upload('falcon', 'restricted');
    return { kind: 'promote', namespace: PROD, modelId, versionId, versionDigest, class: 'restricted' };
  },
  'policy-set': async () => ({ kind: 'policy-set', namespace: PROD, counter: 2, policies: starterPolicies('public') }),
  'reference-values': async () => ({ kind: 'reference-values', namespace: PROD, counter: 2, values: [{ ...GOOD_VALUE, id: 'next' }] }),
  'alert-rules': async () => ({ kind: 'alert-rules', namespace: SYSTEM, counter: 1, rules: shippedRules() }),
  decoy: async () => {
    const { modelId } = await vault.publish('falcon', 'restricted');
    return { kind: 'decoy', namespace: PROD, counter: 1, modelId, state: 'decoy' };
  },
  'alert-delivery': async () => ({
    kind: 'alert-delivery',
    namespace: SYSTEM,
    counter: 1,
    targets: [{ kind: 'syslog', name: 'siem', minimum: 'low', host: 'siem.example', port: 6514 }],
    heartbeatSeconds: 60,
  }),
  'trust-anchors': async () => ({ kind: 'trust-anchors', namespace: PROD, counter: 2, anchors: [{ ...ANCHOR, name: 'next' }] }),
  administrator: async () => ({
    kind: 'administrator',
    namespace: SYSTEM,
    counter: 1,
    administratorId: newId<AdministratorId>(vault.clock.now()),
    name: 'mallory',
    state: 'active',
    roles: ALL_ROLES,
    workstations: [workstationOf('mallory')],
    authenticator: 'reset',
  }),
  alias: async () => {
    const { modelId, versionId, versionDigest } = await vault.publish('falcon', 'restricted');
    return { kind: 'alias', namespace: PROD, counter: 1, modelId, name: 'prod', versionId, versionDigest };
  },
  'class-change': async () => {
    const { modelId } = await vault.publish('falcon', 'restricted');
    return { kind: 'class-change', namespace: PROD, counter: 1, modelId, class: 'public' };
  },
  'rotate-key': async () => rotation,
  'destroy-key': async () => {
    await vault.twoPeople(rotation);
    const rewrapper = createRewrapper(vault.vault, () => undefined);
    for (let rounds = 0; !(await rewrapper.round()).idle; rounds++) expect(rounds).toBeLessThan(100);
    return { kind: 'destroy-key', namespace: SYSTEM, counter: 2, keyId: KEK.id, version: 1 };
  },
  'keep-key': async () => {
    await vault.twoPeople(await EXAMPLES['destroy-key']());
    return { kind: 'keep-key', namespace: SYSTEM, counter: 3, keyId: KEK.id, version: 1 };
  },
  'create-key': async () => ({ kind: 'create-key', namespace: PROD, counter: 1, keyId: 'ns.prod' as KeyId, version: 1 }),
  'compromise-key': async () => ({ kind: 'compromise-key', namespace: SYSTEM, counter: 1, keyId: KEK.id, version: 1 }),
  'recovery-key': async () => {
    const { keyId, publicKey } = await newRecoveryKey();
    const key = { keyId, publicKey: toBase64(publicKey), shares: 3, needed: 2 };
    return { kind: 'recovery-key', namespace: SYSTEM, counter: 1, ...key, state: 'active' };
  },
  'destroy-version': async () => {
    const { modelId, versionId, versionDigest } = await vault.publish('falcon', 'internal');
    return { kind: 'destroy-version', namespace: PROD, counter: 1, modelId, versionId, versionDigest, state: 'decided' };
  },
  'log-sinks': async () => ({
    kind: 'log-sinks',
    namespace: SYSTEM,
    counter: 1,
    sinks: [{ kind: 'syslog', name: 'siem', from: 'first', host: 'siem.example', port: 6514 }],
  }),
  'log-retention': async () => ({ kind: 'log-retention', namespace: SYSTEM, counter: 1, recordDays: 365, disclosureDays: 30 }),
  'close-log': () => vault.closing(1),
  'erase-person': async () => {
    const { administratorId, name } = await vault.as('carol');
    const removed = { counter: 2, state: 'removed', roles: [], workstations: [workstationOf(name)], authenticator: 'keep' } as const;
    await vault.twoPeople({ kind: 'administrator', namespace: SYSTEM, administratorId, name, ...removed });
    return { kind: 'erase-person', namespace: SYSTEM, counter: 3, administratorId };
  },
  'key-periods': async () => ({ kind: 'key-periods', namespace: SYSTEM, counter: 1, cryptoperiodDays: 90, destructionWaitDays: 7 }),
  lift: async () => {
    await vault.machine('gpu-1');
    const { stopId, scope, target } = await blockSubject(alice, PROD, 'gpu-1', vault.vault);
    return { kind: 'lift', namespace: PROD, stopId, scope, ...(target !== undefined && { target }) };
  },
};

const ask = async (operation: Operation): Promise<ApprovalAnswer> => {
  await vault.stepUp('alice', sha256Hex(canonicalJson(operation)) as Digest);
  return requestApproval(alice, operation, vault.vault);
};
const executed = () => vault.records('approval.executed').length;
/** Everything but the log and the sessions. */
const inForce = () => JSON.stringify(vault.database.prepare('SELECT * FROM document_slots ORDER BY namespace, slot').all());

test('every kind of operation has its example in this table', () => {
  expect(Object.keys(EXAMPLES).sort()).toEqual(Object.keys(OPERATION_ACTIONS).sort());
});

describe.each(Object.entries(EXAMPLES))('%s', (kind, example) => {
  let asked: ApprovalAnswer;
  let before: string;
  let count: number;
  beforeEach(async () => {
    asked = await ask(await example());
    [before, count] = [inForce(), executed()];
  });

  /** Tried with everything else right, the fresh code included: refused with this code, on record, and nothing happened. */
  const refused = async (as: AdminActor, code: string, digest = asked.operationDigest) => {
    await vault.stepUp('bob', asked.operationDigest);
    expect(await codeFrom(approve(as, asked.requestId, digest, vault.vault))).toBe(code);
    expect(vault.lastRecord()).toMatchObject({
      type: 'approval.refused',
      outcome: 'deny',
      reason: code,
      operation: { requestId: asked.requestId, kind },
    });
    expect([inForce(), executed()]).toEqual([before, count]);
  };

  test('waits, whole, for somebody else, who is told what it is', async () => {
    expect(asked.state).toBe('pending');
    const namespace = vault.row('SELECT namespace FROM approvals WHERE request_id = ?', asked.requestId)['namespace'];
    const shown = (await pendingApprovals(bob, namespace as typeof PROD, vault.vault)).find((one) => one.requestId === asked.requestId);
    expect(shown).toMatchObject({ kind, requester: 'alice', operation: { kind }, operationDigest: asked.operationDigest });
    expect(shown?.summary).toMatch(/^[A-Z].{10,}/);
  });

  test('is not approved by the person who asked', () => refused({ ...bob, administratorId: alice.administratorId }, 'approval_self'));
  test('is not approved with the authenticator it was asked with', () =>
    refused({ ...bob, authenticatorId: alice.authenticatorId }, 'approval_self'));
  test('is not approved from the workstation it was asked on', () => refused({ ...bob, workstation: alice.workstation }, 'approval_self'));
  test('is not approved by another digest', () => refused(bob, 'approval_changed', 'd'.repeat(64) as Digest));

  test('is not approved after four hours', async () => {
    vault.clock.advance(4 * 3600);
    await refused(bob, 'approval_settled');
  });

  test('is not approved after it was cancelled', async () => {
    expect((await cancelRequest(alice, asked.requestId, vault.vault)).state).toBe('cancelled');
    expect(vault.lastRecord()).toMatchObject({ type: 'approval.cancelled', outcome: 'success' });
    await refused(bob, 'approval_settled');
  });

  test('is not approved after the stored operation was altered', async () => {
    vault.sql(
      "UPDATE approvals SET operation = CAST(replace(CAST(operation AS TEXT), '}', ' }') AS BLOB) WHERE request_id = ?",
      asked.requestId,
    );
    await vault.stepUp('bob', asked.operationDigest);
    expect(await codeFrom(approve(bob, asked.requestId, asked.operationDigest, vault.vault))).toBe('approval_changed');
    expect(vault.lastRecord()).toMatchObject({ type: 'admin.denied', outcome: 'deny', reason: 'approval_changed' });
    expect([inForce(), executed()]).toEqual([before, count]);
  });

  test('is not approved without a code for it', async () => {
    expect(await codeFrom(approve(bob, asked.requestId, asked.operationDigest, vault.vault))).toBe('step_up_required');
    expect(executed()).toBe(count);
  });

  test('happens once, approved twice; by two people at once on two nodes too', async () => {
    const dave = await vault.approver('dave');
    const other = await vault.addNode();
    await vault.stepUp('bob', asked.operationDigest);
    await vault.stepUp('dave', asked.operationDigest);
    count = executed();
    const answers = await Promise.all([
      codeFrom(approve(bob, asked.requestId, asked.operationDigest, vault.vault)),
      codeFrom(approve(dave, asked.requestId, asked.operationDigest, other.vault)),
    ]);
    expect(answers.filter((answer) => answer === 'nothing thrown')).toHaveLength(1);
    expect(executed()).toBe(count + 1);
    [before, count] = [inForce(), executed()];
    await refused(bob, 'approval_settled');
  });
});

describe('a request that waits', () => {
  const asked = () => ask({ kind: 'policy-set', namespace: PROD, counter: 2, policies: {} });

  test('can be cancelled by any approver, once, and by nobody else', async () => {
    const { requestId } = await asked();
    const carol = await vault.as('carol');
    expect(await codeFrom(cancelRequest(carol, requestId, vault.vault))).toBe('action_denied');
    const other = await vault.addNode();
    const answers = await Promise.all(
      [cancelRequest(bob, requestId, vault.vault), cancelRequest(alice, requestId, other.vault)].map(codeFrom),
    );
    expect(answers.sort()).toEqual(['approval_settled', 'nothing thrown']);
    expect(vault.records('approval.cancelled')).toHaveLength(1);
  });

  test('is cancelled or executed, never both', async () => {
    const { requestId, operationDigest } = await asked();
    const other = await vault.addNode();
    await vault.stepUp('bob', operationDigest);
    const answers = await Promise.all([
      codeFrom(approve(bob, requestId, operationDigest, vault.vault)),
      codeFrom(cancelRequest(alice, requestId, other.vault)),
    ]);
    expect(answers.filter((answer) => answer === 'nothing thrown')).toHaveLength(1);
  });

  test('is not cancelled after it expired, and one that never was is unknown', async () => {
    const { requestId } = await asked();
    vault.clock.advance(4 * 3600);
    expect(await codeFrom(cancelRequest(alice, requestId, vault.vault))).toBe('approval_settled');
    expect(await codeFrom(cancelRequest(alice, newId(vault.clock.now()), vault.vault))).toBe('request_unknown');
  });
});

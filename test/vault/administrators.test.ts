/** Letting people in, changing what they may do, and taking them out: two people each time, and never about oneself. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type AdministratorId, type Digest, newId, SYSTEM } from '../../src/domain/ids.ts';
import { administratorByName } from '../../src/vault/administrators.ts';
import { approve, requestApproval } from '../../src/vault/approve.ts';
import { authenticate } from '../../src/vault/authorize.ts';
import { login } from '../../src/vault/login.ts';
import type { SetAdministrator } from '../../src/vault/operations/operation.ts';
import { ALL_ROLES, codeFrom, PROD, TestVault, workstationOf } from './test-vault.ts';

let vault: TestVault;
beforeEach(async () => {
  vault = await TestVault.make(); // alice and bob with every role, carol a reviewer
});
afterEach(() => vault.remove());

const inForce = async (name: string) => {
  const person = await vault.stores.unitOfWork.run((tx) => administratorByName(name, tx, vault.vault));
  if (person === undefined) throw new Error(`nobody is called ${name}`);
  return person;
};

const newcomer = (over: Partial<SetAdministrator> = {}): SetAdministrator => ({
  kind: 'administrator',
  namespace: SYSTEM,
  counter: 1,
  administratorId: newId<AdministratorId>(vault.clock.now()),
  name: 'dave',
  state: 'active',
  roles: ['publisher'],
  workstations: [workstationOf('dave')],
  authenticator: 'reset',
  ...over,
});

/** What `name` is to be next, if nothing but `over` changes. */
const change = async (name: string, over: Partial<SetAdministrator> = {}): Promise<SetAdministrator> => {
  const { administratorId, counter, state, roles, workstations } = await inForce(name);
  const same = { administratorId, counter: counter + 1, name, state, roles, workstations, authenticator: 'keep' as const };
  return { kind: 'administrator', namespace: SYSTEM, ...same, ...over };
};

const ask = async (operation: SetAdministrator, by = 'alice') => {
  await vault.stepUp(by);
  return requestApproval(await vault.as(by), operation, vault.vault);
};
const logIn = async (name: string, workstation = name) => {
  vault.clock.advance(30);
  const request = { administrator: name, workstation: workstationOf(workstation), requestId: 'r', remoteAddress: '192.0.2.1' };
  return login({ ...request, code: await vault.code(name) }, vault.vault);
};
const useOf = (token: string, name: string) =>
  codeFrom(authenticate({ token, workstation: workstationOf(name), requestId: 'r', remoteAddress: '' }, vault.vault));

describe('a newcomer', () => {
  test('is let in by two people, sets up an authenticator, and logs in; the records say who, and never the name', async () => {
    const asked = await ask(newcomer());
    expect(asked.state).toBe('pending');
    await expect(inForce('dave')).rejects.toThrow('nobody is called dave');
    await vault.approve('bob', asked);
    const { administratorId, authenticator, consents } = await inForce('dave');
    expect(authenticator).toBeUndefined();
    expect(consents.map((one) => one.administratorId)).toEqual(
      await Promise.all(['alice', 'bob'].map(async (name) => (await vault.as(name)).administratorId)),
    );
    expect(vault.lastRecord()).toMatchObject({
      type: 'document.activated',
      document: { kind: 'administrator', counter: 1, item: administratorId },
    });
    await vault.claim('dave');
    expect(vault.lastRecord()).toMatchObject({ type: 'authenticator.claimed', document: { counter: 2, item: administratorId } });
    expect((await logIn('dave')).administrator).toBe('dave');
    expect(JSON.stringify(vault.records())).not.toMatch(/\bdave\b/);
  });

  test.each<[string, Partial<SetAdministrator>, string]>([
    ['with a name that is taken', { name: 'bob' }, 'administrator_exists'],
    ['with a name that is none', { name: 'Dave Smith' }, 'request_invalid'],
    ['with a role that is none', { roles: ['publisher; approver'] }, 'request_invalid'],
    ['with a role twice', { roles: ['publisher', 'publisher'] }, 'request_invalid'],
    ['without a workstation', { workstations: [] }, 'request_invalid'],
    ['with something that is no workstation', { workstations: ['alice' as Digest] }, 'request_invalid'],
    ["on somebody else's workstation", { workstations: [workstationOf('bob')] }, 'workstation_taken'],
    ['in a namespace', { namespace: PROD }, 'request_invalid'],
    ['with an authenticator from somewhere', { authenticator: 'keep' }, 'request_invalid'],
    ['who is gone already', { state: 'removed' }, 'request_invalid'],
    ['who is not the first of that id', { counter: 2 }, 'document_stale'],
  ])('%s is refused: nobody is asked', async (_what, over, code) => {
    expect(await codeFrom(ask(newcomer(over)))).toBe(code);
    expect(vault.records('approval.requested')).toHaveLength(0);
  });

  test('of the same name twice, approved at once on two nodes, is one person', async () => {
    await vault.addPerson('erin', ['approver']);
    const other = await vault.addNode();
    const asked = [await ask(newcomer()), await ask(newcomer({ workstations: [workstationOf('dave 2')] }))];
    const [first, second] = asked as [(typeof asked)[0], (typeof asked)[0]];
    const answers = await Promise.all([codeFrom(vault.approve('bob', first)), codeFrom(vault.approve('erin', second, other))]);
    expect(answers.sort()).toEqual(['administrator_exists', 'nothing thrown']);
    expect(vault.row("SELECT count(*) AS n FROM administrators WHERE name = 'dave'")['n']).toBe(1);
  });

  test('asked for by someone without the role is denied', async () => {
    expect(await codeFrom(ask(newcomer(), 'carol'))).toBe('action_denied');
  });
});

describe('a change', () => {
  test('of roles and workstations is in force at once, ends the sessions, and keeps the authenticator', async () => {
    const { token } = await logIn('carol');
    expect(await useOf(token, 'carol')).toBe('nothing thrown');
    const before = await inForce('carol');
    const home = workstationOf('carol at home');
    await vault.approve('bob', await ask(await change('carol', { roles: ['publisher'], workstations: [home] })));
    expect(await inForce('carol')).toMatchObject({ roles: ['publisher'], workstations: [home], authenticator: before.authenticator });
    expect(await useOf(token, 'carol')).toBe('session_missing');
    expect(await codeFrom(logIn('carol'))).toBe('login_refused');
    expect((await logIn('carol', 'carol at home')).administrator).toBe('carol');
  });

  test('of oneself can be asked for, and not be approved by oneself: approval_self, recorded', async () => {
    await vault.addPerson('dave', ['approver', 'registrar']);
    const own = await ask(await change('bob', { roles: [...ALL_ROLES, 'auditor'] }), 'bob');
    expect(await codeFrom(vault.approve('bob', own))).toBe('approval_self');
    const others = await ask(await change('bob', { roles: ['approver'] }), 'alice');
    expect(await codeFrom(vault.approve('bob', others))).toBe('approval_self'); // another asked, but it is about bob
    expect(vault.lastRecord()).toMatchObject({ type: 'approval.refused', reason: 'approval_self' });
    expect((await vault.approve('dave', own)).state).toBe('executed');
  });

  test.each<[string, Partial<SetAdministrator>, string]>([
    ['of nothing', {}, 'request_invalid'],
    ['of the name', { name: 'caroline', roles: ['publisher'] }, 'request_invalid'],
    ['to somebody else’s workstation', { workstations: [workstationOf('alice')] }, 'workstation_taken'],
    ['counted wrongly', { counter: 3, roles: ['publisher'] }, 'document_stale'],
    ['counted as the first', { counter: 1, roles: ['publisher'] }, 'document_stale'],
  ])('%s is refused', async (_what, over, code) => {
    expect(await codeFrom(ask(await change('carol', over)))).toBe(code);
  });

  test('that others have overtaken is stale', async () => {
    const [first, second] = [
      await ask(await change('carol', { roles: ['publisher'] })),
      await ask(await change('carol', { roles: ['approver'] })),
    ];
    await vault.approve('bob', second);
    expect(await codeFrom(vault.approve('bob', first))).toBe('document_stale');
    expect((await inForce('carol')).roles).toEqual(['approver']);
  });
});

describe('a removal', () => {
  test('ends the sessions at once, on every node; the name stays taken and the person out', async () => {
    const other = await vault.addNode();
    const { token } = await logIn('carol');
    const asked = await ask(await change('carol', { state: 'removed' }));
    await vault.approve('bob', asked, other);
    expect(await useOf(token, 'carol')).toBe('session_missing');
    expect(await codeFrom(logIn('carol'))).toBe('login_refused');
    expect(await codeFrom(ask(newcomer({ name: 'carol' })))).toBe('administrator_exists');
    expect(await codeFrom(ask(await change('carol', { state: 'active' })))).toBe('administrator_unknown');
    expect(await codeFrom(ask(await change('carol', { authenticator: 'reset' })))).toBe('administrator_unknown');
    expect(await codeFrom(ask(newcomer({ workstations: [workstationOf('carol')] })))).toBe('nothing thrown'); // their machine is free
  });

  test('a session row that outlived its person opens nothing', async () => {
    const { token } = await logIn('carol');
    const kept = vault.row('SELECT * FROM sessions ORDER BY created_at DESC LIMIT 1');
    await vault.approve('bob', await ask(await change('carol', { state: 'removed' })));
    vault.sql(`INSERT INTO sessions VALUES (${Object.keys(kept).fill('?').join(', ')})`, ...Object.values(kept));
    expect(await useOf(token, 'carol')).toBe('workstation_unknown');
  });

  test.each<[string, Partial<SetAdministrator>]>([
    ['removing', { state: 'removed' }],
    ['taking the role from', { roles: ['publisher'] }],
  ])('%s one of the last two approvers is refused: administrators_too_few', async (_what, over) => {
    expect(await codeFrom(ask(await change('alice', over), 'bob'))).toBe('administrators_too_few');
    await vault.addPerson('dave', ['approver']);
    expect(await codeFrom(ask(await change('alice', over), 'bob'))).toBe('nothing thrown');
  });

  test('an approver who never set up an authenticator does not count', async () => {
    await vault.approve('bob', await ask(newcomer({ roles: ['approver'] })));
    expect(await codeFrom(ask(await change('alice', { state: 'removed' }), 'bob'))).toBe('administrators_too_few');
  });

  test('of two approvers at once out of three: one is too few when it is executed', async () => {
    await vault.addPerson('dave', ['approver']);
    const [one, two] = [
      await ask(await change('alice', { state: 'removed' }), 'bob'),
      await ask(await change('bob', { state: 'removed' }), 'alice'),
    ];
    expect((await vault.approve('dave', one)).state).toBe('executed');
    expect(await codeFrom(vault.approve('dave', two))).toBe('approval_void'); // alice, who asked, is gone
    const three = await ask(await change('dave', { roles: [] }), 'bob').catch((error: { code: string }) => error.code);
    expect(three).toBe('administrators_too_few');
  });
});

describe('a reset of an authenticator', () => {
  test('ends the sessions, makes the old codes worthless, and lets the person set up another', async () => {
    const { token } = await logIn('bob');
    await vault.addPerson('dave', ['approver']);
    await vault.approve('dave', await ask(await change('bob', { authenticator: 'reset' })));
    expect((await inForce('bob')).authenticator).toBeUndefined();
    expect(await useOf(token, 'bob')).toBe('session_missing');
    expect(await codeFrom(logIn('bob'))).toBe('login_refused');
    const old = vault.person('bob').seed;
    expect((await vault.claim('bob')).seed).not.toBe(old);
    expect((await logIn('bob')).administrator).toBe('bob');
  });

  test('leaves the person counted as an approver: they have lost it anyway', async () => {
    expect(await codeFrom(ask(await change('bob', { authenticator: 'reset' })))).toBe('nothing thrown');
  });
});

describe('what waits was asked for by someone who', () => {
  const published = () => vault.upload('falcon', 'restricted'); // by alice
  beforeEach(async () => {
    await vault.addPerson('dave', ['approver', 'registrar']);
  });

  test.each<[string, Partial<SetAdministrator>]>([
    ['was removed since', { state: 'removed' }],
    ['lost the role since', { roles: ['approver'] }],
    ['lost the authenticator since', { authenticator: 'reset' }],
    ['lost the workstation since', { workstations: [workstationOf('alice at home')] }],
  ])('%s: approval_void, recorded, and it does not happen', async (_what, over) => {
    const waiting = await published();
    await vault.approve('bob', await ask(await change('alice', over), 'dave'));
    expect(await codeFrom(vault.approve('dave', waiting))).toBe('approval_void');
    expect(vault.lastRecord()).toMatchObject({ type: 'approval.refused', outcome: 'deny', reason: 'approval_void' });
    expect(vault.records('version.promoted')).toHaveLength(0);
  });

  test('was given more roles since may still ask: it happens', async () => {
    const waiting = await published();
    await vault.approve('bob', await ask(await change('alice', { roles: [...ALL_ROLES, 'auditor'] }), 'dave'));
    expect((await vault.approve('dave', waiting)).state).toBe('executed');
  });

  test('an approver who was removed between asking and executing consents to nothing', async () => {
    const waiting = await published();
    const dave = await vault.as('dave');
    await vault.stepUp('dave', waiting.operationDigest);
    await vault.approve('bob', await ask(await change('dave', { state: 'removed' })));
    expect(await codeFrom(approve(dave, waiting.requestId, waiting.operationDigest, vault.vault))).not.toBe('nothing thrown');
    expect(vault.records('version.promoted')).toHaveLength(0);
  });
});

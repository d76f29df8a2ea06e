/** Promise P3 in one process: what each stop covers, that it is one person's at once and two people's to lift, and what a lockdown leaves. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { signDocument } from '../../src/documents/document.ts';
import { type ErrorCode, VaultError } from '../../src/domain/errors.ts';
import { type Namespace, newId, type StopId, SYSTEM, type VersionId } from '../../src/domain/ids.ts';
import type { Stop } from '../../src/domain/stop.ts';
import { ADMIN_ACTIONS, type AdminAction } from '../../src/policy/actions.ts';
import { requestApproval } from '../../src/vault/approve.ts';
import { type AdminActor, authorize } from '../../src/vault/authorize.ts';
import { blockSubject } from '../../src/vault/block.ts';
import { finishRelease } from '../../src/vault/finish.ts';
import { keepHouse } from '../../src/vault/outcome.ts';
import { listRequesters } from '../../src/vault/people.ts';
import { startVersion } from '../../src/vault/publish.ts';
import type { Granted } from '../../src/vault/release.ts';
import { listStops, lockdown, requestLift, suspend } from '../../src/vault/stop.ts';
import { knownStops, rememberStop } from '../../src/vault/stops.ts';
import { codeFrom, type Machine, marker, type Node, PROD, type Published, RESEARCH, TestVault } from './test-vault.ts';

const MIB = 1 << 20;

let vault: TestVault;
let made = 0;
let machine: Machine;
let version: Published;

/** The stops of every test are lifted before the next one: a lockdown would be in its way. */
beforeAll(async () => {
  vault = await TestVault.ready();
  await vault.putInForce(RESEARCH);
});
afterAll(() => vault.remove());

async function liftAll(): Promise<void> {
  for (const namespace of [SYSTEM, PROD, RESEARCH]) {
    for (const { stopId, state } of await listStops(await vault.as('bob'), namespace, vault.vault)) {
      if (state === 'in-force') await lift(stopId, namespace).catch((error) => expect(error.code).toBe('stop_unknown')); // of the vault
    }
  }
}
beforeEach(async () => {
  await liftAll();
  machine = await vault.machine(`gpu-${made++}`);
  version = await vault.publish(`falcon-${made}`, 'internal', { 'weights.bin': marker(5 * MIB) });
});

const as = (name: string) => vault.as(name);
const noop = () => undefined;

async function lift(stopId: StopId, namespace: Namespace): Promise<void> {
  await vault.stepUp('alice');
  await vault.approve('bob', await requestLift(await as('alice'), { namespace, stop: stopId }, vault.vault));
}

interface Button {
  readonly what: string;
  readonly code: ErrorCode;
  readonly scope: string;
  readonly kind: string;
  readonly press: (node?: Node) => Promise<Stop>;
}
const BUTTONS: readonly Button[] = [
  {
    what: 'a block',
    code: 'subject_blocked',
    scope: 'requester',
    kind: 'block',
    press: async (node = vault.node) => blockSubject(await as('bob'), PROD, machine.name, node.vault),
  },
  {
    what: 'a suspended model',
    code: 'version_suspended',
    scope: 'model',
    kind: 'suspend',
    press: async (node = vault.node) => suspend(await as('bob'), { namespace: PROD, model: version.model }, node.vault),
  },
  {
    what: 'a suspended version',
    code: 'version_suspended',
    scope: 'version',
    kind: 'suspend',
    press: async (node = vault.node) =>
      suspend(await as('bob'), { namespace: PROD, model: version.model, version: version.versionId }, node.vault),
  },
  {
    what: 'a lockdown of the namespace',
    code: 'lockdown',
    scope: 'namespace',
    kind: 'lockdown',
    press: async (node = vault.node) => lockdown(await as('bob'), PROD, node.vault),
  },
  {
    what: 'a lockdown of the vault',
    code: 'lockdown',
    scope: 'vault',
    kind: 'lockdown',
    press: async (node = vault.node) => lockdown(await as('bob'), SYSTEM, node.vault),
  },
];

async function reading(granted: Granted, node: Node = vault.node, onCut: () => void = noop) {
  const opened = await vault.opened(machine, granted, 'weights.bin', node);
  const chunks = opened.read({ start: 0, end: opened.object.size }, new AbortController().signal, onCut);
  await chunks.next();
  return chunks;
}
const endOf = (granted: Granted) => vault.records('release.end').find(({ release }) => release?.releaseId === granted.permit.releaseId);

describe.each(BUTTONS)('$what', ({ code, scope, kind, press }) => {
  test('is on record with all it takes to put it in force again, once, however often it is pressed', async () => {
    const before = vault.records('stop.placed').length;
    const [stop, ...again] = await Promise.all([press(), press(), press(await vault.addNode())]);
    for (const same of again) expect(same.stopId).toBe(stop.stopId);
    const records = vault.records('stop.placed').slice(before) as unknown as Array<{ namespace: string; stop: object; detail?: string }>;
    expect(records).toHaveLength(1);
    const target = { requester: machine.subjectId, model: version.modelId, version: version.versionId }[scope];
    expect(records[0]).toMatchObject({
      outcome: 'success',
      namespace: scope === 'vault' ? 'system' : 'prod',
      actor: { kind: 'administrator' },
    });
    expect(records[0]?.stop).toEqual({ stopId: stop.stopId, kind, scope, ...(target && { target }) });
  });

  test('refuses releases and reads, on record, also on a node that has not refreshed', async () => {
    const other = await vault.addNode();
    const granted = await vault.granted({ machine, version });
    await press();
    vault.expectDenied(await vault.ask({ machine, version, node: other }), code);
    const refused = await vault.open(machine, granted, 'weights.bin', other);
    expect(refused.refused && refused.code).toBe('release_cut'); // it ended with the stop
    expect(vault.lastRecord()).toMatchObject({ type: 'object.denied', reason: 'release_cut' });
    const { namespace, releaseId } = granted.permit;
    vault.sql('UPDATE releases SET outcome = NULL WHERE release_id = ?', releaseId);
    const revived = await vault.open(machine, granted, 'weights.bin', other);
    expect(revived.refused && revived.code).toBe(code);
    await finishRelease({ requestId: 'r', namespace, releaseId, spki: machine.spki, remoteAddress: '' }, vault.vault);
  });

  test('cuts what streams, here at once and elsewhere with its next refresh, and the release ends as cut', async () => {
    const other = await vault.addNode();
    for (const node of [vault.node, other]) await keepHouse(node.vault);
    const [here, there] = [await vault.granted({ machine, version }), await vault.granted({ machine, version })];
    const cut = { here: 0, there: 0 };
    const streams = {
      here: await reading(here, vault.node, () => cut.here++),
      there: await reading(there, other, () => cut.there++),
    };
    await press();
    expect(cut).toEqual({ here: 1, there: 0 });
    await other.vault.revocations.refresh();
    expect(cut).toEqual({ here: 1, there: 1 });
    for (const chunks of [streams.here, streams.there]) expect(await codeFrom(chunks.next())).toBe('release_cut');
    for (const node of [other, vault.node]) await keepHouse(node.vault);
    for (const granted of [here, there]) {
      expect(endOf(granted)).toMatchObject({ reason: 'release_cut', release: { outcome: 'cut', bytes: MIB, abortedStreams: 1 } });
    }
  });

  test('takes the key with it: one that lingers and one that is lent', async () => {
    const node = await vault.addNode();
    const from = vault.keys.opened.length;
    const lingering = await vault.granted({ machine, version, node }); // opened once, then kept for the first read
    const chunks = await reading(lingering, node);
    expect(vault.keys.opened.slice(from).every(({ disposed }) => disposed)).toBe(false);
    await press(node);
    expect(await codeFrom(chunks.next())).toBe('release_cut');
    await new Promise(setImmediate);
    expect(vault.keys.opened.slice(from).every(({ disposed }) => disposed)).toBe(true);
  });

  test('is still there after a restart', async () => {
    const stop = await press();
    const again = await vault.addNode();
    vault.expectDenied(await vault.ask({ machine, version, node: again }), code);
    const namespace = scope === 'vault' ? SYSTEM : PROD;
    expect(await listStops(await as('bob'), namespace, again.vault)).toContainEqual(
      expect.objectContaining({ stopId: stop.stopId, kind, scope, state: 'in-force' }),
    );
  });

  test('needs no HSM to be placed', async () => {
    const bob = await as('bob');
    const down = () => Promise.reject(new VaultError('keeper_unavailable'));
    const { vault: plain, sequencer } = await vault.addNode();
    const keys = { ...plain.keys, wrap: down, unwrap: down, sign: down, describe: down, generate: down, random: down };
    const node: Node = { vault: { ...plain, keys, catalogueKey: { ...plain.catalogueKey, sign: down } }, sequencer };
    const press2 = { requester: () => blockSubject(bob, PROD, machine.name, node.vault) }[scope] ?? (() => press(node));
    await press2();
    vault.expectDenied(await vault.ask({ machine, version }), code);
  });

  test('is lifted by two people and nobody alone; then the machine attests again, and what it cut stays cut', async () => {
    const other = await vault.addNode();
    const granted = await vault.granted({ machine, version });
    vault.clock.advance(1);
    const { stopId, namespace } = await press();
    await vault.stepUp('bob');
    const asked = await requestLift(await as('bob'), { namespace, stop: stopId }, vault.vault);
    expect(asked.state).toBe('pending');
    expect(await codeFrom(vault.approve('bob', asked))).toBe('approval_self');
    vault.expectDenied(await vault.ask({ machine, version }), code);
    expect((await vault.approve('alice', asked, other)).state).toBe('executed');
    expect(vault.lastRecord()).toMatchObject({ type: 'stop.lifted', stop: { stopId, kind, scope }, document: { kind: 'lift' } });
    await vault.fetch(machine, await vault.granted({ machine, version }));
    const old = await vault.open(machine, granted);
    expect(old.refused && old.code).toBe('release_cut');
    vault.sql('UPDATE releases SET outcome = NULL WHERE release_id = ?', granted.permit.releaseId);
    const revived = await vault.open(machine, granted);
    expect(revived.refused && revived.code).toBe('release_cut');
    await keepHouse(vault.vault); // and is ended as cut again
    expect(vault.row('SELECT outcome FROM releases WHERE release_id = ?', granted.permit.releaseId)).toEqual({ outcome: 'cut' });
    expect(await codeFrom(requestLift(await as('alice'), { namespace, stop: stopId }, vault.vault))).toBe('stop_lifted');
    const next = await press();
    expect(next.stopId).not.toBe(stopId); // pressed anew it is another stop, and an old lift does not lift it
    vault.expectDenied(await vault.ask({ machine, version }), code);
  });
});

describe('a stop leaves alone what it does not cover', () => {
  test.each([
    ['a block: another machine, and a machine of that name elsewhere', 'requester'],
    ['a suspended version: the versions before and after it', 'version'],
    ['a suspended model: other models', 'model'],
    ['a lockdown of a namespace: the others', 'namespace'],
  ] as const)('%s', async (_what, scope) => {
    const elsewhere = await vault.machine(machine.name, {
      namespace: RESEARCH,
      spki: Uint8Array.of(...Buffer.from(`e${made}`)),
      akName: `000b${'a1'.repeat(31)}${made.toString(16).padStart(2, '0')}`,
    });
    const foreign = await vault.publish('heron', 'internal', { 'weights.bin': marker(3 * MIB) }, RESEARCH);
    const asks = {
      requester: { machine: await vault.machine(`gpu-other-${made++}`), version },
      version: { machine, version: await vault.publish(version.model, 'internal', { 'weights.bin': marker(3 * MIB) }) },
      model: { machine, version: await vault.publish(`other-${made}`, 'internal', { 'weights.bin': marker(3 * MIB) }) },
      namespace: { machine: elsewhere, version: foreign, namespace: RESEARCH },
    };
    const asking = asks[scope];
    const before = await vault.granted(asking);
    const opened = await vault.opened(asking.machine, before);
    const chunks = opened.read({ start: 0, end: opened.object.size }, new AbortController().signal, noop);
    await chunks.next();
    const button = BUTTONS.find((one) => one.scope === scope);
    await button?.press();
    await new Promise(setImmediate);
    expect((await chunks.next()).done).toBe(false);
    expect((await chunks.next()).done).toBe(false);
    await chunks.return(undefined);
    await vault.granted(asking);
    await vault.granted({ machine: elsewhere, version: foreign, namespace: RESEARCH });
    vault.expectDenied(await vault.ask({ machine, version }), button?.code ?? 'internal');
  });
});

describe('placing a stop', () => {
  test('is refused to who may not, on record', async () => {
    const carol = await as('carol');
    const presses = [
      () => blockSubject(carol, PROD, machine.name, vault.vault),
      () => suspend(carol, { namespace: PROD, model: version.model }, vault.vault),
      () => lockdown(carol, PROD, vault.vault),
      () => lockdown(carol, SYSTEM, vault.vault),
    ];
    for (const press of presses) {
      expect(await codeFrom(press())).toBe('action_denied');
      expect(vault.lastRecord()).toMatchObject({ type: 'admin.denied', reason: 'action_denied' });
    }
    await vault.granted({ machine, version });
  });

  test('of what is not there stops nothing', async () => {
    const bob = await as('bob');
    const stranger = newId<VersionId>(vault.clock.now());
    expect(await codeFrom(blockSubject(bob, PROD, 'nobody', vault.vault))).toBe('subject_unknown');
    expect(await codeFrom(suspend(bob, { namespace: PROD, model: 'nothing' }, vault.vault))).toBe('model_unknown');
    expect(await codeFrom(suspend(bob, { namespace: RESEARCH, model: version.model }, vault.vault))).toBe('model_unknown');
    expect(await codeFrom(suspend(bob, { namespace: PROD, model: version.model, version: stranger }, vault.vault))).toBe('version_unknown');
    const other = await vault.publish(`own-${made}`, 'internal');
    const mixed = { namespace: PROD, model: version.model, version: other.versionId };
    expect(await codeFrom(suspend(bob, mixed, vault.vault))).toBe('version_unknown');
    await vault.granted({ machine, version });
  });

  test('shows in the lists', async () => {
    await blockSubject(await as('bob'), PROD, machine.name, vault.vault);
    const { requesters } = await listRequesters(await as('bob'), { namespace: PROD }, vault.vault);
    expect(requesters.find(({ name }) => name === machine.name)).toMatchObject({ blocked: true });
    expect(await listStops(await as('bob'), PROD, vault.vault)).toContainEqual(
      expect.objectContaining({ kind: 'block', name: machine.name, target: machine.subjectId, state: 'in-force' }),
    );
    await liftAll();
    const after = await listRequesters(await as('bob'), { namespace: PROD }, vault.vault);
    expect(after.requesters.find(({ name }) => name === machine.name)).toMatchObject({ blocked: false });
  });
});

describe('lifting', () => {
  test('a stop that never was, or is of another namespace, is stop_unknown; who may not lift is told nothing', async () => {
    const { stopId } = await lockdown(await as('bob'), PROD, vault.vault);
    const ask = async (name: string, namespace: Namespace, stop: StopId) => requestLift(await as(name), { namespace, stop }, vault.vault);
    expect(await codeFrom(ask('bob', RESEARCH, stopId))).toBe('stop_unknown');
    expect(await codeFrom(ask('bob', PROD, newId<StopId>(vault.clock.now())))).toBe('stop_unknown');
    expect(await codeFrom(ask('carol', PROD, newId<StopId>(vault.clock.now())))).toBe('action_denied');
    expect(await codeFrom(ask('carol', PROD, stopId))).toBe('action_denied');
  });

  test('one stop twice at once happens once', async () => {
    const { stopId } = await blockSubject(await as('bob'), PROD, machine.name, vault.vault);
    await vault.stepUp('alice');
    const asked = await Promise.all([1, 2].map(async () => requestLift(await as('alice'), { namespace: PROD, stop: stopId }, vault.vault)));
    const codes: string[] = [];
    for (const one of asked) codes.push(await codeFrom(vault.approve('bob', one)));
    expect(codes).toEqual(['nothing thrown', 'stop_lifted']);
  });

  test('a signed document lifts only with two people, authenticators and workstations, in the namespace of the stop', async () => {
    const { stopId } = await blockSubject(await as('bob'), PROD, machine.name, vault.vault);
    const consentOf = ({ administratorId, authenticatorId, workstation }: AdminActor) => ({
      administratorId,
      authenticatorId,
      workstation,
    });
    const [alice, bob] = [consentOf(await as('alice')), consentOf(await as('bob'))];
    const liftedBy = async (consents: (typeof alice)[], namespace = PROD) => {
      const head = { v: 1 as const, vaultId: vault.vault.vaultId, createdAt: vault.clock.now().toISOString() };
      const document = await signDocument('lift', { ...head, namespace, stopId, consents }, vault.vault.catalogueKey.sign);
      await vault.stores.unitOfWork.run(async (tx) => {
        await vault.stores.documents.put(tx, document);
        await vault.stores.releases.pointLift(tx, stopId, document.digest);
      });
      return !(await vault.ask({ machine, version })).refused;
    };
    expect(await liftedBy([alice, alice])).toBe(false);
    for (const same of ['administratorId', 'authenticatorId', 'workstation'] as const)
      expect(await liftedBy([alice, { ...bob, [same]: alice[same] }])).toBe(false);
    expect(await liftedBy([alice, bob], RESEARCH)).toBe(false);
    expect(await liftedBy([alice, bob])).toBe(true);
  });

  test('one of two stops that cover the same leaves the other in force', async () => {
    const block = await blockSubject(await as('bob'), PROD, machine.name, vault.vault);
    await suspend(await as('bob'), { namespace: PROD, model: version.model }, vault.vault);
    await lift(block.stopId, PROD);
    vault.expectDenied(await vault.ask({ machine, version }), 'version_suspended');
  });

  test('a stop placed and lifted between two refreshes of a node still cuts what that node streams', async () => {
    const other = await vault.addNode();
    const chunks = await reading(await vault.granted({ machine, version }), other);
    vault.clock.advance(1);
    const { stopId } = await suspend(await as('bob'), { namespace: PROD, model: version.model }, vault.vault);
    await lift(stopId, PROD);
    await other.vault.revocations.refresh();
    expect(await codeFrom(chunks.next())).toBe('release_cut');
    await vault.fetch(machine, await vault.granted({ machine, version, node: other }), 'weights.bin', other); // and nothing else
  });
});

describe('in a lockdown', () => {
  const LEFT: readonly AdminAction[] = [
    ...(['readCatalogue', 'readLog', 'blockRequester', 'suspend', 'lockdown', 'liftStop', 'approve'] as const),
  ];
  test.each([
    ['the vault', SYSTEM, [PROD, RESEARCH, SYSTEM], []],
    ['a namespace', PROD, [PROD], [RESEARCH, SYSTEM]],
  ] as const)('of %s every action but seeing, stopping and lifting is refused on record', async (_what, of, locked, free) => {
    const alice = await as('alice');
    await lockdown(alice, of, vault.vault);
    const allowed = async (namespace: Namespace) => {
      const left: AdminAction[] = [];
      for (const action of ADMIN_ACTIONS) {
        const code = await codeFrom(authorize(alice, action, namespace, vault.vault));
        if (code === 'nothing thrown') left.push(action);
        else expect([code, vault.lastRecord().reason]).toEqual(['lockdown', 'lockdown']);
      }
      return left;
    };
    for (const namespace of locked) expect((await allowed(namespace)).sort()).toEqual([...LEFT].sort());
    for (const namespace of free) expect(await allowed(namespace)).toEqual([...ADMIN_ACTIONS]);
  });

  test('nothing is published, and what waited for a second person is not executed by one', async () => {
    const waiting = await vault.upload(`waiting-${made}`, 'restricted');
    const { stopId } = await lockdown(await as('bob'), SYSTEM, vault.vault);
    expect(await codeFrom(startVersion(await as('alice'), PROD, version.model, vault.vault))).toBe('lockdown');
    expect(await codeFrom(vault.approve('bob', waiting))).toBe('lockdown');
    const operation = { kind: 'class-change' as const, namespace: PROD, counter: 1, modelId: version.modelId, class: 'public' as const };
    await vault.stepUp('alice');
    expect(await codeFrom(requestApproval(await as('alice'), operation, vault.vault))).toBe('lockdown');
    await lift(stopId, SYSTEM);
    expect((await vault.approve('bob', waiting)).state).toBe('executed'); // it only waited
  });

  test('a second lockdown of a namespace inside one of the vault outlives it', async () => {
    const outer = await lockdown(await as('bob'), SYSTEM, vault.vault);
    const inner = await lockdown(await as('bob'), PROD, vault.vault);
    expect(inner.stopId).not.toBe(outer.stopId);
    await lift(outer.stopId, SYSTEM);
    vault.expectDenied(await vault.ask({ machine, version }), 'lockdown');
  });
});

describe('what a process was told by the access log', () => {
  test('is in force without a row, until its lift document is there', async () => {
    const bob = await as('bob');
    const { stopId, ...said } = await blockSubject(bob, PROD, machine.name, vault.vault);
    vault.dropTriggers();
    vault.sql('DELETE FROM stops WHERE stop_id = ?', stopId);
    const ignorant = await vault.addNode();
    await vault.granted({ machine, version, node: ignorant });
    const told = await vault.addNode();
    rememberStop({ stopId, ...said }, told.vault.catalogueKey);
    vault.expectDenied(await vault.ask({ machine, version, node: told }), 'subject_blocked');
    await vault.stepUp('alice');
    await vault.approve('bob', await requestLift(await as('alice'), { namespace: PROD, stop: stopId }, vault.vault));
    await vault.granted({ machine, version, node: told }); // the lift wrote the row again
    const digest = vault.lastRecord().type === 'release.begin' && vault.records('stop.lifted').at(-1)?.document?.['digest'];
    vault.sql('DELETE FROM stops WHERE stop_id = ?', stopId);
    const later = await vault.addNode();
    rememberStop({ stopId, ...said }, later.vault.catalogueKey);
    rememberStop({ stopId, ...said }, later.vault.catalogueKey, digest as Parameters<typeof rememberStop>[2]);
    await vault.granted({ machine, version, node: later });
  });

  test('stands against a row that says something else', async () => {
    const { stopId, ...said } = await blockSubject(await as('bob'), PROD, machine.name, vault.vault);
    vault.dropTriggers();
    vault.sql('UPDATE stops SET target = ? WHERE stop_id = ?', newId<VersionId>(vault.clock.now()), stopId);
    const told = await vault.addNode();
    const before = (await told.vault.stores.unitOfWork.run((tx) => knownStops(tx, told.vault))).find((one) => one.stopId === stopId);
    expect(before?.target).not.toBe(machine.subjectId); // this one believed the row, as it knew no better
    const fresh = await freshKey();
    rememberStop({ stopId, ...said }, fresh.catalogueKey);
    const known = await fresh.stores.unitOfWork.run((tx) => knownStops(tx, fresh));
    expect(known.find((one) => one.stopId === stopId)?.target).toBe(machine.subjectId);
    expect(known.filter((one) => one.stopId === stopId)).toHaveLength(1);
  });

  /** A process that has not read a row yet. */
  async function freshKey() {
    const { vault: plain } = await vault.addNode();
    return { ...plain, catalogueKey: { ...plain.catalogueKey } };
  }
});

/** The life of key versions (SP 800-57): suspended by one person at once and resumed by two, compromised, made ahead, and a namespace's own KEK. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { signDocument } from '../../src/documents/document.ts';
import { sha256Hex } from '../../src/domain/bytes.ts';
import { codeOf } from '../../src/domain/errors.ts';
import { type Digest, type KeyId, type Namespace, SYSTEM } from '../../src/domain/ids.ts';
import { canonicalJson } from '../../src/domain/json.ts';
import { decodeWrappedKey, encodeWrappedKey } from '../../src/keys/wrapped-key.ts';
import { requestApproval } from '../../src/vault/approve.ts';
import { destroyKeys } from '../../src/vault/destroy-keys.ts';
import { KEK } from '../../src/vault/init.ts';
import { keyRing } from '../../src/vault/key-ring.ts';
import { keyFigures, listKeys, readKeys, requestResume, requestRotation, suspendKey } from '../../src/vault/keys.ts';
import { makeKek } from '../../src/vault/operations/key-ring.ts';
import type { Operation } from '../../src/vault/operations/operation.ts';
import { endOverdueReleases, keepHouse } from '../../src/vault/outcome.ts';
import { putObject, startVersion } from '../../src/vault/publish.ts';
import { createRewrapper } from '../../src/vault/rewrap.ts';
import { chunksOf, codeFrom, marker, PROD, type Published, RESEARCH, TestVault } from './test-vault.ts';

const DAY_SECONDS = 86_400;
let vault: TestVault;
beforeEach(async () => {
  vault = await TestVault.ready();
});
afterEach(() => vault.remove());

const ofKey = (kind: 'rotate-key' | 'create-key' | 'compromise-key' | 'destroy-key' | 'keep-key', counter: number, version: number) =>
  ({ kind, namespace: SYSTEM, counter, keyId: KEK.id, version }) as Operation;
const inProd = (kind: 'rotate-key' | 'create-key', counter: number, version: number) =>
  ({ kind, namespace: PROD, counter, keyId: 'ns.prod' as KeyId, version }) as Operation;
const inTx = <T>(work: Parameters<typeof vault.stores.unitOfWork.run<T>>[0]) => vault.stores.unitOfWork.run(work);
const suspend = async (version: number, namespace: Namespace = SYSTEM) =>
  suspendKey(await vault.as('bob'), { namespace, version }, vault.vault);
const states = async (namespace: Namespace = SYSTEM) =>
  (await readKeys(await vault.as('alice'), namespace, vault.vault)).keks.map(({ version, state }) => `${version} ${state}`);
const resume = async (version: number, namespace: Namespace = SYSTEM) => {
  await vault.stepUp('bob');
  const asked = await requestResume(await vault.as('bob'), { namespace, version }, vault.vault);
  await vault.approve('alice', asked);
};
const rewrapAll = async () => {
  const rewrapper = createRewrapper(vault.vault, () => undefined);
  for (let rounds = 0; !(await rewrapper.round()).idle; rounds++) expect(rounds).toBeLessThan(100);
};
const kekOf = ({ versionId }: Pick<Published, 'versionId'>) => {
  const { kek } = decodeWrappedKey(
    vault.row('SELECT wrapped_dek FROM versions WHERE version_id = ?', versionId)['wrapped_dek'] as Uint8Array,
  );
  return `${kek.id}/${kek.version}`;
};

describe('a suspended version', () => {
  test('one person: streams under it are cut on every node, its DEKs are wiped, nothing is released or published under it, until two resume it', async () => {
    const machine = await vault.machine('gpu-1');
    const version = await vault.publish('falcon', 'internal', { 'weights.bin': marker(3 << 20) });
    const other = await vault.addNode();
    const streams = [];
    for (const node of [vault.node, other]) {
      const granted = await vault.granted({ node, machine, version });
      const opened = await vault.opened(machine, granted, 'weights.bin', node);
      const reading = opened.read({ start: 0, end: opened.object.size }, new AbortController().signal, () => undefined);
      await reading.next();
      streams.push({ reading, granted, node });
    }
    await keepHouse(other.vault); // it lives
    const { stopId } = await suspend(1);
    await other.vault.revocations.refresh(); // what its timer does each second
    for (const { reading } of streams) expect(await codeFrom(reading.next())).toBe('release_cut');
    await new Promise((resolve) => setImmediate(resolve));
    expect(vault.keys.opened.every((secret) => secret.disposed)).toBe(true);
    for (const { vault: node } of [other, vault.node]) await node.meter.flush(); // each says that its streams have ended
    await endOverdueReleases(vault.vault);
    expect(vault.records('release.end')).toHaveLength(2);
    for (const { release } of vault.records('release.end')) expect(release).toMatchObject({ outcome: 'cut' });

    vault.expectDenied(await vault.ask({ machine, version }), 'key_suspended');
    expect(await codeFrom(startVersion(await vault.as('alice'), PROD, 'falcon', vault.vault))).toBe('key_suspended');
    expect(await states()).toEqual(['1 suspended']);
    expect(vault.records('stop.placed').at(-1)).toMatchObject({ v: 2, stop: { stopId, scope: 'key', target: 'kek-default/1' } });

    await vault.actor('carol'); // people log in: their seeds are not data keys
    await resume(1);
    expect(await states()).toEqual(['1 active']);
    await other.vault.revocations.refresh();
    for (const { granted, node } of streams) {
      expect(await vault.open(machine, granted, 'weights.bin', node)).toMatchObject({ refused: true, code: 'release_cut' }); // what it ended stays ended
    }
    const granted = await vault.granted({ machine, version });
    expect((await vault.fetch(machine, granted)).length).toBe(3 << 20);
  });

  test('a stop whose row vanished stays in force, and one that a row says is lifted too', async () => {
    const machine = await vault.machine('gpu-1');
    const version = await vault.publish('falcon', 'internal');
    await suspend(1);
    vault.dropTriggers();
    vault.sql('UPDATE stops SET lift_digest = (SELECT digest FROM documents LIMIT 1)');
    vault.expectDenied(await vault.ask({ machine, version }), 'key_suspended');
    vault.sql('DELETE FROM stops');
    vault.expectDenied(await vault.ask({ machine, version }), 'key_suspended');
  });

  test('nothing is rewrapped from it or under it; the rewrap waits, and goes on when it is resumed', async () => {
    const version = await vault.publish('falcon', 'internal');
    await vault.twoPeople(ofKey('rotate-key', 1, 2));
    await suspend(1);
    await rewrapAll();
    expect(kekOf(version)).toBe('kek-default/1');
    expect(await listKeys(await vault.as('alice'), vault.vault)).toMatchObject({ rewrap: { rewrapped: 3 } }); // the people's seeds alone
    await resume(1);
    await suspend(2);
    await rewrapAll();
    expect(kekOf(version)).toBe('kek-default/1');
    await resume(2);
    await rewrapAll();
    expect(kekOf(version)).toBe('kek-default/2');
  });

  test('one that was never in use, or is gone, or is not there cannot be suspended; one that is not suspended cannot be resumed', async () => {
    await vault.twoPeople(ofKey('create-key', 1, 2));
    expect(await codeFrom(suspend(2))).toBe('key_state_conflict');
    expect(await codeFrom(suspend(3))).toBe('key_state_conflict');
    expect(await codeFrom(resume(1))).toBe('key_state_conflict');
    const carol = await vault.as('carol');
    expect(await codeFrom(suspendKey(carol, { namespace: SYSTEM, version: 1 }, vault.vault))).toBe('action_denied');
  });
});

describe('a compromised version', () => {
  test('opens what it wrapped, wraps nothing, and no weights are sealed under it; a rotation rewraps all of it', async () => {
    const machine = await vault.machine('gpu-1');
    const version = await vault.publish('falcon', 'internal');
    const alice = await vault.as('alice');
    const { versionId } = await startVersion(alice, PROD, 'falcon', vault.vault);
    await vault.twoPeople(ofKey('compromise-key', 1, 1));
    expect(await states()).toEqual(['1 compromised']);
    expect(vault.records('key.compromised')).toMatchObject([{ key: { id: KEK.id, version: 1 } }]);
    expect((await vault.fetch(machine, await vault.granted({ machine, version }))).length).toBe(1000);
    expect(await codeFrom(startVersion(alice, PROD, 'falcon', vault.vault))).toBe('key_state_conflict');
    const upload = () => putObject(alice, { namespace: PROD, versionId, path: 'w.bin' as never }, chunksOf(marker(10)), vault.vault);
    expect(await codeFrom(upload())).toBe('key_state_conflict');
    await vault.twoPeople(ofKey('rotate-key', 2, 2));
    await rewrapAll();
    expect(kekOf(version)).toBe('kek-default/2');
    expect(await states()).toEqual(['1 compromised', '2 active']);
    await upload(); // its DEK is under the new version now
  });
});

describe('a version that was made ahead', () => {
  test('wraps and opens nothing until a rotation to it; there is one at a time', async () => {
    await vault.twoPeople(ofKey('create-key', 1, 2));
    expect(await states()).toEqual(['1 active', '2 pre-activation']);
    expect(kekOf(await vault.publish('falcon', 'internal'))).toBe('kek-default/1');
    expect(await codeFrom(vault.twoPeople(ofKey('create-key', 2, 3)))).toBe('key_state_conflict');
    await vault.twoPeople(ofKey('rotate-key', 2, 2));
    expect(await states()).toEqual(['1 deactivated', '2 active']);
  });
});

describe("a namespace's own KEK", () => {
  test('wraps what is there and what is new in it and nothing else; suspending it stops that namespace alone', async () => {
    const machine = await vault.machine('gpu-1');
    const version = await vault.publish('falcon', 'internal');
    await vault.twoPeople(inProd('create-key', 1, 1));
    expect(kekOf(await vault.publish('heron', 'internal'))).toBe('kek-default/1'); // it wraps nothing yet
    await vault.twoPeople(inProd('rotate-key', 2, 1));
    await rewrapAll();
    expect(kekOf(version)).toBe('ns.prod/1');
    await vault.putInForce(RESEARCH);
    const elsewhere = await vault.machine('gpu-2', { namespace: RESEARCH });
    const theirs = await vault.publish('owl', 'internal', undefined, RESEARCH);
    expect(kekOf(theirs)).toBe('kek-default/1');

    await suspend(1, PROD);
    vault.expectDenied(await vault.ask({ machine, version }), 'key_suspended');
    expect(await codeFrom(vault.publish('ibis', 'internal'))).toBe('key_suspended'); // the vault's is no substitute
    expect((await vault.fetch(elsewhere, await vault.granted({ machine: elsewhere, version: theirs }))).length).toBe(1000);
    expect(await vault.publish('kite', 'internal', undefined, RESEARCH)).toBeDefined();
    const { rings } = await listKeys(await vault.as('alice'), vault.vault);
    expect(rings.map(({ namespace, keks }) => [namespace, keks.map(({ state, wrapped }) => `${state} ${wrapped}`)])).toEqual([
      [SYSTEM, ['active 5']],
      [PROD, ['suspended 2']],
    ]);
    await resume(1, PROD);
    expect((await vault.fetch(machine, await vault.granted({ machine, version }))).length).toBe(1000);
  });

  test('another namespace, another keyId, or a version out of turn is refused', async () => {
    for (const operation of [
      { ...inProd('create-key', 1, 1), keyId: KEK.id },
      { ...inProd('create-key', 1, 2) },
      { ...inProd('create-key', 1, 1), namespace: RESEARCH },
    ]) {
      expect(await codeFrom(vault.twoPeople(operation as Operation))).toBe('key_state_conflict');
    }
    expect((await inTx((tx) => keyRing(PROD, tx, vault.vault))).keks).toEqual([]);
  });

  test('a long name and the long names beside it have a key each', async () => {
    const [one, two] = ['a'.repeat(64), `${'a'.repeat(63)}b`] as [Namespace, Namespace];
    const ids = [];
    for (const namespace of [one, two]) {
      await vault.stepUp('alice');
      await vault.approve('bob', await requestRotation(await vault.as('alice'), namespace, vault.vault));
      ids.push((await inTx((tx) => keyRing(namespace, tx, vault.vault))).keks[0]?.id);
    }
    expect(new Set(ids).size).toBe(2);
  });
});

describe('a wrapped key in another place than its own', () => {
  test.each([
    ['of another version', PROD],
    ['of another namespace', RESEARCH],
  ])('%s opens nothing', async (_, namespace) => {
    const machine = await vault.machine('gpu-1');
    const version = await vault.publish('falcon', 'internal');
    const foreign = await vault.publish('owl', 'internal', undefined, namespace as Namespace);
    const { wrapped_dek: blob } = vault.row('SELECT wrapped_dek FROM versions WHERE version_id = ?', foreign.versionId);
    vault.sql('UPDATE versions SET wrapped_dek = ? WHERE version_id = ?', blob, version.versionId);
    expect(await codeFrom(vault.ask({ machine, version }))).toBe('key_context_mismatch');
    await vault.twoPeople(ofKey('rotate-key', 1, 2));
    const failed: string[] = [];
    const rewrapper = createRewrapper(vault.vault, (what) => failed.push(what));
    while (!(await rewrapper.round()).idle);
    expect(failed).toEqual([`version ${version.versionId}`]);
  });

  test('of another vault, even one with the same HSM', async () => {
    const machine = await vault.machine('gpu-1');
    const version = await vault.publish('falcon', 'internal');
    const other = await vault.addNode({ vaultId: '01900000-0000-7000-8000-00000000000a' as never });
    const foreign = other.vault; // signs and wraps as another vault would
    const wrapped = decodeWrappedKey(
      vault.row('SELECT wrapped_dek FROM versions WHERE version_id = ?', version.versionId)['wrapped_dek'] as Uint8Array,
    );
    const { dekWrapAad } = await import('../../src/keys/wrapped-key.ts');
    const aad = dekWrapAad({ ...version, vaultId: foreign.vaultId }, wrapped.kek);
    expect(await codeFrom(vault.keys.unwrap(wrapped, aad))).toBe('key_context_mismatch');
    expect((await vault.fetch(machine, await vault.granted({ machine, version }))).length).toBe(1000);
  });
});

describe('how a version wraps', () => {
  const MEMORY = { tier: 1, algorithm: 'AES-256-GCM', provider: 'memory' };

  test('is recorded with the version when it is made, the first of the vault and one made ahead too, and shown', async () => {
    const wraps = async () => (await readKeys(await vault.as('alice'), SYSTEM, vault.vault)).keks.map(({ wrap }) => wrap);
    expect(await wraps()).toEqual([MEMORY]);
    await vault.twoPeople(ofKey('create-key', 1, 2));
    expect(await wraps()).toEqual([MEMORY, MEMORY]);
    await vault.twoPeople(ofKey('rotate-key', 2, 2));
    expect((await inTx((tx) => keyRing(SYSTEM, tx, vault.vault))).keks.map(({ wrap }) => wrap)).toEqual([MEMORY, MEMORY]);
  });

  test.each([
    ['in another tier', { tier: 3 as const, iv: new Uint8Array(0), bytes: new Uint8Array(256) }],
    ['by another provider', { provider: 'pkcs11' }],
    ['under a version that no ring has', { kek: { ...KEK, version: 9 } }],
  ])('a blob that was made %s is refused without a word to the HSM', async (_, other) => {
    const machine = await vault.machine('gpu-1');
    const version = await vault.publish('falcon', 'internal');
    const row = vault.row('SELECT wrapped_dek FROM versions WHERE version_id = ?', version.versionId)['wrapped_dek'] as Uint8Array;
    const altered = encodeWrappedKey({ ...decodeWrappedKey(row), ...other });
    vault.sql('UPDATE versions SET wrapped_dek = ? WHERE version_id = ?', altered, version.versionId);
    const before = vault.keys.unwraps;
    expect(await codeFrom(vault.ask({ machine, version }))).toBe('key_unwrap_refused');
    expect(vault.keys.unwraps).toBe(before);
  });

  test('a version that the ring calls destroyed opens nothing, even if its key came back', async () => {
    const machine = await vault.machine('gpu-1');
    const version = await vault.publish('falcon', 'internal');
    const { wrapped_dek: old } = vault.row('SELECT wrapped_dek FROM versions WHERE version_id = ?', version.versionId);
    await vault.twoPeople(ofKey('rotate-key', 1, 2));
    await rewrapAll();
    await vault.twoPeople(ofKey('destroy-key', 2, 1));
    vault.clock.advance(15 * DAY_SECONDS);
    const { destroy } = vault.keys;
    vault.keys.destroy = async () => ({ cancellableUntil: vault.clock.now() }); // and whoever administers the KMS cancels it
    await destroyKeys(vault.vault);
    vault.keys.destroy = destroy;
    vault.sql('UPDATE versions SET wrapped_dek = ? WHERE version_id = ?', old, version.versionId);
    expect(await codeFrom(vault.ask({ machine, version }))).toBe('key_state_conflict');
  });
});

describe('a destruction that was decided', () => {
  const decided = async () => {
    await vault.twoPeople(ofKey('rotate-key', 1, 2));
    await rewrapAll();
    await vault.twoPeople(ofKey('destroy-key', 2, 1));
  };

  test('can be taken back by two while it waits', async () => {
    await decided();
    await vault.twoPeople(ofKey('keep-key', 3, 1));
    vault.clock.advance(400 * DAY_SECONDS);
    expect(await destroyKeys(vault.vault)).toEqual({ gone: [], waiting: [] });
    expect(await vault.keys.describe(KEK)).toBeDefined();
    expect(await codeFrom(vault.twoPeople(ofKey('keep-key', 4, 1)))).toBe('key_state_conflict');
  });

  test('is not due sooner because the clock was set back, neither when it is decided nor when it is done', async () => {
    await vault.twoPeople(ofKey('rotate-key', 1, 2));
    await rewrapAll();
    const operation = ofKey('destroy-key', 2, 1);
    await vault.stepUp('alice', sha256Hex(canonicalJson(operation)) as Digest);
    const now = vault.clock.now;
    const restarted = async (offsetDays: number) => {
      vault.clock.now = () => new Date(now().getTime() + offsetDays * DAY_SECONDS * 1000);
      return (await vault.addNode()).vault; // a process that starts has no memory of a later time
    };
    const past = await restarted(-20);
    expect(await codeFrom(requestApproval(await vault.as('alice'), operation, past))).toBe('clock_regressed');
    vault.clock.now = now;
    await vault.twoPeople(operation);
    expect(await codeFrom(destroyKeys(await restarted(-20)))).toBe('clock_regressed');
    expect(await destroyKeys(await restarted(13))).toMatchObject({ gone: [], waiting: [KEK] });
    expect(await destroyKeys(await restarted(15))).toMatchObject({ gone: [KEK] });
  });

  test('stops when something was wrapped under the version since', async () => {
    const version = await vault.publish('falcon', 'internal');
    const { wrapped_dek: blob } = vault.row('SELECT wrapped_dek FROM versions WHERE version_id = ?', version.versionId);
    await decided();
    vault.sql('UPDATE versions SET wrapped_dek = ? WHERE version_id = ?', blob, version.versionId);
    vault.clock.advance(15 * DAY_SECONDS);
    expect(await codeFrom(destroyKeys(vault.vault))).toBe('key_in_use');
    expect(await vault.keys.describe(KEK)).toBeDefined();
  });

  test('interrupted between the HSM and the database goes on', async () => {
    await decided();
    vault.clock.advance(15 * DAY_SECONDS);
    await vault.keys.destroy(KEK);
    expect(await destroyKeys(vault.vault)).toMatchObject({ gone: [KEK] });
    expect(await states()).toEqual(['1 destroyed', '2 active']);
    expect(vault.records('key.destroyed')).toHaveLength(1);
  });
});

test('two nodes that are told to make one version at once make it one after the other: one makes it, the other finds it', async () => {
  const other = await vault.addNode();
  const { generate } = vault.keys;
  let [making, most] = [0, 0];
  const said: string[] = [];
  vault.keys.generate = async (...of) => {
    most = Math.max(most, ++making);
    await new Promise((resolve) => setTimeout(resolve, 30));
    const made = generate(...of);
    said.push(await made.then(() => 'made', codeOf));
    making--;
    return made;
  };
  const next = { ...KEK, version: 2 };
  await Promise.all([vault.node, other, vault.node, other].map((node) => makeKek(next, node.vault)));
  expect([most, said]).toEqual([1, ['made', 'key_exists', 'key_exists', 'key_exists']]);
});

describe('periods', () => {
  test('a cryptoperiod warns and stops nothing; both are changed by two, within bounds', async () => {
    const figures = await keyFigures(vault.vault);
    expect(Math.round(figures.daysLeft)).toBe(365);
    await vault.twoPeople({ kind: 'key-periods', namespace: SYSTEM, counter: 1, cryptoperiodDays: 30, destructionWaitDays: 2 });
    vault.clock.advance(40 * DAY_SECONDS);
    expect((await keyFigures(vault.vault)).daysLeft).toBeLessThan(-9);
    expect(kekOf(await vault.publish('falcon', 'internal'))).toBe('kek-default/1');
    for (const days of [0, 366, 1.5]) {
      const bad: Operation = { kind: 'key-periods', namespace: SYSTEM, counter: 2, cryptoperiodDays: 30, destructionWaitDays: days };
      expect(await codeFrom(vault.twoPeople(bad))).toBe('request_invalid');
    }
  });
});

test('a ring of version 1, as earlier products signed it, is read and continued', async () => {
  const consents = ['alice', 'bob'].map((name) => ({ name }));
  const people = await Promise.all(consents.map(({ name }) => vault.as(name)));
  const document = await signDocument(
    'key-ring',
    {
      v: 1,
      vaultId: vault.vault.vaultId,
      createdAt: vault.clock.now().toISOString(),
      namespace: SYSTEM,
      counter: 1,
      keks: [
        { id: KEK.id, version: 1, state: 'deactivated' },
        { id: KEK.id, version: 2, state: 'active' },
      ],
      consents: people.map(({ administratorId, authenticatorId, workstation }) => ({ administratorId, authenticatorId, workstation })),
    },
    vault.vault.catalogueKey.sign,
  );
  await vault.keys.generate({ id: KEK.id, version: 2 }, 'kek');
  await inTx(async (tx) => {
    await vault.stores.documents.put(tx, document);
    await vault.stores.documents.point(tx, SYSTEM, 'key-ring', { digest: document.digest, counter: 1 });
  });
  expect(await states()).toEqual(['1 deactivated', '2 active']);
  await vault.twoPeople(ofKey('rotate-key', 2, 3));
  expect(await states()).toEqual(['1 deactivated', '2 deactivated', '3 active']);
});

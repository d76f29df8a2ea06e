/**
 * Rows rolled back or exchanged: every column of the tables that lead from a name to weights gets the value it had earlier, or the true
 * value of another row. What is asked for is refused or exactly what was published under that name; nobody gets more than before. The
 * columns come from the database itself, so a new one fails this file until somebody decides what it may do.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { verifierKey } from '../../src/audit/vkey.ts';
import { type KeyId, SYSTEM } from '../../src/domain/ids.ts';
import { blockSubject } from '../../src/vault/block.ts';
import { issueChallenge } from '../../src/vault/challenge.ts';
import { finishRelease } from '../../src/vault/finish.ts';
import { recollect } from '../../src/vault/recollect.ts';
import type { Granted } from '../../src/vault/release.ts';
import { renew } from '../../src/vault/renew.ts';
import {
  GOOD_VALUE,
  type Machine,
  marker,
  type Node,
  ORIGIN,
  PROD,
  type Published,
  starterPolicies,
  TestVault,
} from '../vault/test-vault.ts';
import { type Bystander, bystanderOf, outcomeOf } from './bystander.ts';
import { DECIDED, TABLES, type Table } from './decided-columns.ts';

const WEIGHTS = marker(900, 'FALCON-2-');
let vault: TestVault;
let bystander: Bystander;
let machine: Machine;
/** Enrolled, and no policy permits it anything restricted. */
let outsider: Machine;
let blocked: Machine;
let version: Published;
let granted: Granted;
const keys: Partial<Record<Table, Readonly<Record<string, readonly string[]>>>> = {};
const earlier: Record<string, unknown> = {};
/** The five tables when the generous policy set and the alias of the older version were in force. */
let before: Snapshot;

beforeAll(async () => {
  vault = await TestVault.ready();
  bystander = await bystanderOf(vault);
  machine = await vault.machine('gpu-1');
  outsider = await vault.machine('gpu-9', { attributes: { fleet: 'staging' } });
  blocked = await vault.machine('gpu-2');
  const namespace = PROD;
  const twin = await vault.publish('falcon', 'restricted', { 'weights.bin': marker(900, 'FALCON-1-') });
  version = await vault.publish('falcon', 'restricted', { 'weights.bin': WEIGHTS });
  const neighbour = await vault.publish('heron', 'internal', { 'weights.bin': marker(900, 'HERON-') });
  const { modelId } = version;
  const point = (to: Published, counter: number) =>
    vault.twoPeople({
      kind: 'alias',
      namespace,
      modelId,
      name: 'production',
      versionId: to.versionId,
      versionDigest: to.versionDigest,
      counter,
    });
  await point(twin, 1);
  earlier['versions.wrapped_dek'] = vault.row('SELECT wrapped_dek AS v FROM versions WHERE version_id = ?', version.versionId)['v'];
  await vault.twoPeople({ kind: 'rotate-key', namespace: SYSTEM, counter: 1, keyId: 'kek-default' as KeyId, version: 2 });
  // The set before permitted the outsider's fleet too; the one in force does not.
  const lax = {
    ...starterPolicies('restricted', 'internal'),
    everyone: 'permit (principal, action == WeightVault::Action::"release", resource);',
  };
  await vault.twoPeople({ kind: 'policy-set', namespace, counter: 2, policies: lax });
  earlier['document_slots.digest'] = slotOf('policy-set');
  before = snapshot();
  await point(version, 2);
  await blockSubject(await vault.as('bob'), PROD, blocked.name, vault.vault);
  await vault.twoPeople({ kind: 'policy-set', namespace, counter: 3, policies: starterPolicies('restricted', 'internal') });
  await vault.twoPeople({ kind: 'reference-values', namespace, counter: 2, values: [GOOD_VALUE] });

  granted = await vault.granted({ machine, version });
  vault.clock.advance(10);
  const ended = await vault.granted({ machine, version });
  await finishRelease({ requestId: 'r', namespace, releaseId: ended.permit.releaseId, spki: machine.spki, remoteAddress: '' }, vault.vault);
  const theirs = await vault.granted({ machine: await vault.machine('gpu-3'), version: neighbour });
  const tenants = await vault.granted({ machine: bystander.machine, version: bystander.version });
  for (const column of ['document_digest', 'expires_at'])
    earlier[`releases.${column}`] = vault.row(`SELECT ${column} AS v FROM releases WHERE release_id = ?`, granted.permit.releaseId)['v'];
  vault.clock.advance(600);
  await renewed();

  Object.assign(keys, {
    models: { own: [version.modelId], neighbour: [neighbour.modelId], tenant: [bystander.version.modelId] },
    versions: { own: [version.versionId], twin: [twin.versionId], neighbour: [neighbour.versionId], tenant: [bystander.version.versionId] },
    releases: {
      own: [granted.permit.releaseId],
      twin: [ended.permit.releaseId],
      neighbour: [theirs.permit.releaseId],
      tenant: [tenants.permit.releaseId],
    },
    subjects: { own: [machine.subjectId], neighbour: [outsider.subjectId], tenant: [bystander.machine.subjectId] },
    document_slots: { own: ['prod', 'policy-set'], twin: ['prod', 'reference-values'], tenant: ['research', 'policy-set'] },
  });
  vault.database.pragma('foreign_keys = OFF');
});
afterAll(() => vault.remove());

function slotOf(slot: string): unknown {
  return vault.row('SELECT digest FROM document_slots WHERE namespace = ? AND slot = ?', PROD, slot)['digest'];
}

async function renewed(): Promise<void> {
  const { namespace, releaseId } = granted.permit;
  const challenge = await issueChallenge(machine.spki, vault.vault);
  const evidence = [await vault.evidenceFor(machine, challenge)];
  const asked = {
    requestId: 'r',
    namespace,
    releaseId,
    challengeId: challenge.challengeId,
    evidence,
    spki: machine.spki,
    remoteAddress: '',
  };
  expect(await outcomeOf(renew(asked, vault.vault))).toBe('granted');
}

type Snapshot = ReadonlyMap<Table, ReadonlyArray<Readonly<Record<string, unknown>>>>;
let saved: Snapshot;

function snapshot(): Snapshot {
  return new Map(TABLES.map((table) => [table, vault.database.prepare(`SELECT * FROM ${table}`).all() as never]));
}

function putBack(rows: Snapshot): void {
  vault.database.transaction(() => {
    for (const [table, all] of rows) {
      vault.sql(`DELETE FROM ${table}`);
      for (const row of all) {
        const names = Object.keys(row);
        vault.sql(`INSERT INTO ${table} (${names.join()}) VALUES (${names.map(() => '?').join()})`, ...names.map((name) => row[name]));
      }
    }
  })();
}

beforeEach(() => {
  saved = snapshot();
});
afterEach(async () => {
  putBack(saved);
  expect(await outcomeOf(vault.ask({ machine, version }))).toBe('granted'); // by the process that saw it all
});

const columnsOf = (table: Table) => (vault.database.pragma(`table_info(${table})`) as Array<{ name: string }>).map(({ name }) => name);

function rowIdOf(table: Table, which: string): number {
  const key = keys[table]?.[which];
  if (key === undefined) throw new Error(`no ${which} in ${table}`);
  const where = {
    models: 'model_id = ?',
    versions: 'version_id = ?',
    releases: 'release_id = ?',
    subjects: 'subject_id = ?',
    document_slots: 'namespace = ? AND slot = ?',
  };
  return Number(vault.row(`SELECT rowid AS r FROM ${table} WHERE ${where[table]}`, ...key)['r']);
}

/** Whatever stands in the way (a key, a name that is unique) is moved aside first. */
function exchange(table: Table, column: string, which: string): void {
  const [own, other] = [rowIdOf(table, 'own'), rowIdOf(table, which)];
  const value = (row: number) => vault.row(`SELECT ${column} AS v FROM ${table} WHERE rowid = ?`, row)['v'];
  const [mine, theirs] = [value(own), value(other)];
  const set = (row: number, to: unknown) => vault.sql(`UPDATE ${table} SET ${column} = ? WHERE rowid = ?`, to, row);
  if (typeof mine === 'string' && typeof theirs === 'string' && column !== 'state') set(other, 'aside');
  set(own, theirs);
  set(other, mine);
}

/** A process that starts now and has read the access log, as every process does. */
async function started(): Promise<Node> {
  for (let round = 0; round < 3; round++) await vault.node.sequencer.tick();
  const node = await vault.addNode();
  await recollect(node.vault, verifierKey(ORIGIN, vault.site.made.logPublicKey));
  return node;
}

/** Asks for what the row is about, as its owner; what is granted must be exactly what was published. */
async function honest(table: Table, node: Node): Promise<string> {
  if (table === 'releases') {
    const code = await outcomeOf(vault.open(machine, granted, 'weights.bin', node));
    if (code === 'granted') await expectTrue(granted, node);
    return code;
  }
  const code = await outcomeOf(ask(machine, node));
  return code;
}

async function ask(who: Machine, node: Node, wanted: { model: string; versionId: string } = version) {
  const answer = await vault.ask({ machine: who, version: wanted as Published, node });
  if (!answer.refused) await expectTrue(answer, node, who);
  return answer;
}

/** Never the weights of another version, whatever the rows say. */
async function expectTrue(of: Granted, node: Node, who = machine): Promise<void> {
  expect(of.permit).toMatchObject({ versionId: version.versionId, versionDigest: version.versionDigest, subjectId: who.subjectId });
  expect(Buffer.compare(await vault.fetch(who, of, 'weights.bin', node), WEIGHTS)).toBe(0);
}

/** Never wider access: whoever was refused before is refused now, and a release opens for its own key alone. */
async function nobodyGainsAnything(node: Node): Promise<void> {
  for (const who of [outsider, blocked]) expect(await outcomeOf(vault.ask({ machine: who, version, node }))).not.toBe('granted');
  expect(
    await outcomeOf(
      vault.ask({ machine: { ...outsider, akName: machine.akName, spki: Uint8Array.of(9) }, version: bystander.version, node }),
    ),
  ).not.toBe('granted');
  expect(await outcomeOf(vault.ask({ machine: { ...bystander.machine, namespace: PROD }, version, node }))).not.toBe('granted');
  for (const releaseId of Object.values(keys.releases ?? {}).flat()) {
    const permit = { ...granted.permit, releaseId: releaseId as never };
    expect(await outcomeOf(vault.open(outsider, { permit }, 'weights.bin', node))).not.toBe('granted');
  }
}

describe.each(TABLES)('the table %s', (table) => {
  test('has no column that nobody has decided about', () => {
    expect(columnsOf(table).toSorted()).toEqual(Object.keys(DECIDED[table]).toSorted());
  });

  const exchanges = Object.entries(DECIDED[table]).flatMap(([column, { exchanged }]) =>
    Object.entries(exchanged).map(([which, expected]) => [column, which, expected] as const),
  );
  test.each(exchanges)('%s exchanged with that of the %s: %s', async (column, which, expected) => {
    exchange(table, column, which);
    const node = await started();
    expect(await honest(table, node)).toBe(expected);
    await nobodyGainsAnything(node);
    if (which !== 'tenant') await bystander.served(node);
  });

  const back = Object.entries(DECIDED[table]).flatMap(([column, { earlier: values = {} }]) =>
    Object.entries(values).map(([value, expected]) => [column, value, expected] as const),
  );
  if (back.length === 0) return;
  test.each(back)('%s set back (%s): %s', async (column, value, expected) => {
    const kept = earlier[`${table}.${column}`];
    const words: Record<string, unknown> = { none: null, 'one less': 2 };
    const to = kept ?? (value in words ? words[value] : value);
    expect(vault.sql(`UPDATE ${table} SET ${column} = ? WHERE rowid = ?`, to, rowIdOf(table, 'own'))).toBe(1);
    const node = await started();
    expect(await honest(table, node)).toBe(expected);
    await nobodyGainsAnything(node);
    await bystander.served(node);
  });
});

describe('whole rows', () => {
  const set = (slot: string, digest: unknown, counter: number) =>
    vault.sql('UPDATE document_slots SET digest = ?, counter = ? WHERE namespace = ? AND slot = ?', digest, counter, PROD, slot);
  const production = { model: 'falcon', versionId: 'production' as Published['versionId'] };

  test('a policy set pointed back with its counter: document_invalid by a process that starts on it', async () => {
    expect(set('policy-set', earlier['document_slots.digest'], 2)).toBe(1);
    const node = await started();
    expect(await honest('document_slots', node)).toBe('document_invalid');
    await nobodyGainsAnything(node);
    await bystander.served(node);
  });

  test('an alias pointed back with its counter: document_invalid, and alias_stale where the log was not read', async () => {
    const slot = `alias:${version.modelId}:production`;
    const [older] = (before.get('document_slots') ?? []).filter((row) => row['slot'] === slot);
    expect(set(slot, older?.['digest'], 1)).toBe(1);
    expect(await outcomeOf(vault.ask({ machine, version: production, node: await started() }))).toBe('document_invalid');
    const forgetful = await vault.addNode();
    expect(await outcomeOf(vault.ask({ machine, version: production, node: forgetful, aliasCounter: 2 }))).toBe('alias_stale');
    await bystander.served(forgetful);
  });

  test('all five tables as they were when a generous policy set was in force: document_invalid, and nobody gains', async () => {
    putBack(before);
    const node = await started();
    expect(await outcomeOf(vault.ask({ machine, version, node }))).toBe('document_invalid');
    expect(await outcomeOf(vault.ask({ machine, version: production, node }))).toBe('document_invalid');
    expect(await outcomeOf(vault.open(machine, granted, 'weights.bin', node))).toBe('release_unknown');
    await nobodyGainsAnything(node);
    await bystander.served(node);
  });
});

/** Promise P1 for the classes that wait: nothing leaves before the record is under a signed checkpoint, or witnessed; a lying store does not help. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { assertWitnessed, cosign, type WitnessKey, withLines, witnessKey } from '../../src/audit/cosignature.ts';
import type { Levels } from '../../src/audit/levels.ts';
import { parseNote } from '../../src/audit/note.ts';
import { parseProof } from '../../src/audit/proof.ts';
import { openReceipt } from '../../src/audit/receipt.ts';
import { formatVkey } from '../../src/audit/vkey.ts';
import { isRefusal } from '../../src/domain/evidence.ts';
import { renew } from '../../src/vault/renew.ts';
import type { Vault } from '../../src/vault/vault.ts';
import { anchorFor, type Issuer, JwtMachine, startIssuer, trust, withVerifier } from './jwt-machine.ts';
import { codeFrom, type Machine, type Node, PROD, type Published, starterPolicies, TestVault } from './test-vault.ts';

interface TestWitness {
  readonly key: WitnessKey;
  cosign(text: string): Promise<string>;
}

function witnessOf(name: string): TestWitness {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const key = witnessKey(name, new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })));
  return { key, cosign: (text) => cosign(text, key, 1_800_000_000, async (message) => new Uint8Array(sign(null, message, privateKey))) };
}

const [ONE, TWO, STRANGER] = ['1', '2', 'stranger'].map((name) => witnessOf(`w.example/${name}`)) as [
  TestWitness,
  TestWitness,
  TestWitness,
];
const POLICY = { witnesses: [ONE.key, TWO.key], quorum: 2 };

let vault: TestVault;
let before: number;
/** Keys opened since the set-up of the test. */
const opened = () => vault.keys.unwraps - before;

/** Waits a twentieth of what the product waits: the same code, and a test that ends; where what is waited for comes, twenty times that long. */
const [HASTY, PATIENT] = [1 / 20, 20];
let pace = HASTY;
beforeEach(() => {
  pace = HASTY;
});
const paced = (levels: Levels): Levels => ({ ...levels, reached: (record, level, ms) => levels.reached(record, level, ms * pace) });
async function waitingNode(recordLevels: Vault['recordLevels'] = {}, over: Partial<Vault> = {}): Promise<Node> {
  const { vault: plain, sequencer } = await vault.addNode({ recordLevels, ...over });
  return { vault: { ...plain, levels: paced(plain.levels) }, sequencer };
}

const tick = () => vault.node.sequencer.tick();
const publishedHead = async () => {
  const head = await vault.stores.unitOfWork.run((tx) => vault.stores.log.head(tx));
  if (head === undefined) throw new Error('nothing is published');
  return head;
};
/** The newest checkpoint with these lines, as the client of the witnesses keeps it. */
async function witnessed(...by: readonly TestWitness[]): Promise<void> {
  const head = await publishedHead();
  const lines = await Promise.all(by.map((one) => one.cosign(parseNote(head.checkpoint).text)));
  const { unitOfWork, log } = vault.stores;
  await unitOfWork.run((tx) => log.publishWitnessed(tx, { ...head, checkpoint: withLines(head.checkpoint, lines) }));
}
async function recorded(type: string, count = 1): Promise<void> {
  for (let looked = 0; vault.records(type).length < count; looked++) {
    if (looked > 10_000) throw new Error(`no ${type}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
const aborted = () => {
  const [begin, end] = vault.records().slice(-2);
  expect(begin?.type).toBe('release.begin');
  expect(end).toMatchObject({ type: 'release.end', release: { begin: begin?.recordId, outcome: 'aborted', bytes: 0 } });
};

describe('a release that waits for a signed checkpoint', () => {
  let machine: Machine;
  let version: Published;
  let node: Node;
  beforeEach(async () => {
    vault = await TestVault.ready();
    machine = await vault.machine('gpu-1');
    version = await vault.publish('falcon', 'restricted');
    node = await waitingNode({ restricted: 'committed' });
    before = vault.keys.unwraps;
  });
  afterEach(() => vault.remove());

  test('is answered with its receipt as soon as there is one, and no key is opened before', async () => {
    pace = PATIENT;
    const answer = vault.granted({ machine, version, node });
    await recorded('release.begin');
    expect(opened()).toBe(0);
    await tick();
    const { receipt, permit } = await answer;
    const { leaf } = openReceipt(receipt ?? new Uint8Array(0), formatVkey(vault.vault.logKey));
    expect(JSON.parse(new TextDecoder().decode(leaf))).toMatchObject({ type: 'release.begin', recordId: permit.recordId });
    expect(opened()).toBe(1);
  });

  test('is log_uncommitted when none comes in time: nothing was opened, and the log says that it ended with no byte sent', async () => {
    expect(await codeFrom(vault.ask({ machine, version, node }))).toBe('log_uncommitted');
    expect(opened()).toBe(0);
    aborted();
  });

  test('is not read on a node that waits, before its record is there: not by who knows its id either', async () => {
    const granted = await vault.granted({ machine, version }); // by a node that does not wait
    expect(await codeFrom(vault.open(machine, granted, 'weights.bin', node))).toBe('log_uncommitted');
    await tick();
    await vault.fetch(machine, granted, 'weights.bin', node);
  });

  test.each([
    [
      'another leaf in its place',
      "UPDATE log_leaves SET leaf = CAST(replace(leaf, 'permit', 'denied') AS BLOB) WHERE leaf_index = (SELECT max(leaf_index) FROM log_leaves)",
    ],
    ['another index', 'UPDATE log_leaves SET leaf_index = leaf_index + 7 WHERE leaf_index = (SELECT max(leaf_index) FROM log_leaves)'],
    ['a head of its own making', "UPDATE log_head SET size = size + 9, checkpoint = CAST(replace(checkpoint, 'log', 'lag') AS BLOB)"],
    ['an altered tile', "UPDATE log_tiles SET bytes = zeroblob(length(bytes)) WHERE path LIKE 'tile/0/%'"],
  ])('is not proven by a store that shows %s', async (_name, alter) => {
    const granted = await vault.granted({ machine, version });
    await tick();
    vault.dropTriggers();
    vault.sql(alter);
    expect(['log_unavailable', 'log_uncommitted']).toContain(await codeFrom(vault.open(machine, granted, 'weights.bin', node)));
  });
});

describe('a critical release', () => {
  let issuer: Issuer;
  let machine: JwtMachine;
  let version: Published;
  let node: Node;
  let policies = 1;

  const standing = (until = '2027-01-01T00:00:00Z', of = version.versionId, id = 'standing') => ({
    [id]: `@id("${id}") @standing_until("${until}")
permit (principal, action == WeightVault::Action::"release", resource == WeightVault::ModelVersion::"${PROD}/${of}")
when { principal.tags.contains("fleet=production") };`,
  });
  const putPolicies = (more: Record<string, string>) =>
    vault.twoPeople({ kind: 'policy-set', namespace: PROD, counter: ++policies, policies: { ...starterPolicies('restricted'), ...more } });
  const asNode = async (over: Partial<Vault> = {}) => waitingNode({}, { ...withVerifier(vault), ...over });
  const asMachine = () => ({ spki: machine.spki, namespace: PROD }) as Machine;

  beforeAll(async () => {
    vault = await TestVault.ready();
    issuer = await startIssuer();
    await trust(vault, anchorFor(issuer, { hardware: true, tee: true }));
    vault.witnesses = POLICY;
    node = await asNode();
    machine = await JwtMachine.enrolled(vault, issuer, 'cvm-1');
    version = await vault.publish('crown', 'critical');
    await putPolicies(standing());
  });
  beforeEach(() => {
    before = vault.keys.unwraps;
  });
  afterAll(async () => {
    issuer.close();
    await vault.remove();
  });
  const begun = () => {
    const count = vault.records('release.begin').length;
    return () => recorded('release.begin', count + 1);
  };

  test('leaves once a quorum of witnesses has seen its record; the receipt it is answered with shows their cosignatures', async () => {
    pace = PATIENT;
    const begin = begun();
    const answer = machine.ask(version, node);
    await begin();
    await tick();
    await witnessed(ONE); // one of two
    expect(opened()).toBe(0);
    await witnessed(ONE, TWO);
    const granted = await answer;
    if (isRefusal(granted)) throw new Error(granted.detail);
    expect(assertWitnessed(parseProof(granted.receipt ?? new Uint8Array(0)).checkpoint, POLICY)).toHaveLength(2);
    await vault.fetch(asMachine(), granted, 'weights.bin', node);
  });

  test('is log_unwitnessed while they do not answer: nothing is opened, and no other class waits', async () => {
    const other = await vault.publish('falcon', 'restricted');
    const begin = begun();
    const answer = codeFrom(machine.ask(version, node));
    await begin();
    await tick();
    const plain = await vault.machine('gpu-2');
    expect((await vault.ask({ machine: plain, version: other, node })).refused).toBe(false);
    const unwraps = vault.keys.unwraps;
    expect(await answer).toBe('log_unwitnessed');
    expect(vault.keys.unwraps).toBe(unwraps);
    expect(vault.records('release.end').at(-1)).toMatchObject({ release: { outcome: 'aborted', bytes: 0 } });
  });

  test('does not leave on cosignatures that are too few, of a stranger, or of one witness twice', async () => {
    for (const by of [[ONE], [ONE, STRANGER], [ONE, ONE]]) {
      const begin = begun();
      const answer = codeFrom(machine.ask(version, node));
      await begin();
      await tick();
      await witnessed(...by);
      expect(await answer).toBe('log_unwitnessed');
    }
    expect(opened()).toBe(0);
  });

  test('is refused where nobody witnesses, before anything waits', async () => {
    vault.witnesses = undefined;
    const denied = vault.expectDenied(await machine.ask(version, await asNode()), 'class_demands_unmet');
    expect(denied.detail).toContain('witnesses');
  });

  test.each([
    ['there is none', () => ({})],
    ['it has run out', () => standing('2026-12-01T12:00:00Z')],
    ['its date is no date', () => standing('soon')],
    ['it is of another version', () => standing('2027-01-01T00:00:00Z', version.modelId as never)],
    [
      'a wider permit would permit it',
      () => ({ wide: '@standing_until("2027-01-01T00:00:00Z") permit (principal, action, resource is WeightVault::ModelVersion);' }),
    ],
    [
      'it does not apply and a wider permit does',
      () => ({
        standing: standing()['standing']?.replace('fleet=production', 'fleet=other') ?? '',
        wide: 'permit (principal, action == WeightVault::Action::"release", resource is WeightVault::ModelVersion);',
      }),
    ],
  ])('needs a standing authorization of that very version: refused when %s', async (_name, made) => {
    await putPolicies(made());
    before = vault.keys.unwraps;
    const denied = vault.expectDenied(await machine.ask(version, node), 'class_demands_unmet');
    expect(denied.detail).toContain('standing authorization');
    expect(opened()).toBe(0);
  });

  test('is refused by the starter policy until two people replace its forbid', async () => {
    await putPolicies({ ...standing(), ...starterPolicies('critical') });
    vault.expectDenied(await machine.ask(version, node), 'policy_denied');
  });

  test('whose renewal is not witnessed in time goes on until its expiry and no longer', async () => {
    await putPolicies(standing());
    pace = PATIENT;
    const begin = begun();
    const answer = machine.ask(version, node);
    await begin();
    await tick();
    await witnessed(ONE, TWO);
    const granted = await answer;
    if (isRefusal(granted)) throw new Error(granted.detail);
    const { releaseId, expiresAt } = granted.permit;
    pace = HASTY;
    vault.clock.advance(60);
    const asked = await machine.renewal(node);
    const renewing = codeFrom(renew({ ...asked, releaseId, namespace: PROD }, node.vault));
    await recorded('release.renewed');
    expect(await renewing).toBe('log_unwitnessed');
    const row = await vault.stores.unitOfWork.run((tx) => vault.stores.releases.release(tx, PROD, releaseId));
    expect([row?.expiresAt, row?.outcome]).toEqual([expiresAt, undefined]);
    expect(vault.lastRecord()).toMatchObject({ type: 'release.denied', reason: 'log_unwitnessed', release: { releaseId } });
    await vault.fetch(asMachine(), granted, 'weights.bin', node);
  });
});

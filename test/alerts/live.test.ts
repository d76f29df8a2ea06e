/**
 * The shipped rules over what the product itself puts on record: each alert of A01 to A20 is raised by doing what it is about, in a whole vault. What an
 * alert cannot know yet docs/formats/alert-rules.md says ("No source yet").
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createTdxVerifier } from '../../src/attestation/tdx/verifier.ts';
import { createAccessLog } from '../../src/audit/access-log.ts';
import type { Follower } from '../../src/audit/follower.ts';
import { createWatching, type Watching } from '../../src/compose-watch.ts';
import type { Config } from '../../src/config/config.ts';
import { siteFinder } from '../../src/config/sites.ts';
import type { Evidence } from '../../src/domain/evidence.ts';
import { type Digest, SYSTEM } from '../../src/domain/ids.ts';
import { issueSelfSigned } from '../../src/identity/certificates.ts';
import { blockSubject } from '../../src/vault/block.ts';
import { issueChallenge } from '../../src/vault/challenge.ts';
import { enrolWorkload } from '../../src/vault/enrol.ts';
import { keyRing } from '../../src/vault/key-ring.ts';
import { recordStart } from '../../src/vault/life.ts';
import { alertFollower } from '../../src/vault/log-readers.ts';
import { login } from '../../src/vault/login.ts';
import { endRelease, keepHouse } from '../../src/vault/outcome.ts';
import { noteRoom } from '../../src/vault/room-notes.ts';
import { putRing } from '../../src/vault/signing-keys.ts';
import { requestLift } from '../../src/vault/stop.ts';
import { knownStops } from '../../src/vault/stops.ts';
import type { StoredVault } from '../../src/vault/stored-vault.ts';
import type { Vault } from '../../src/vault/vault.ts';
import { noteWitnesses } from '../../src/vault/witness-notes.ts';
import { type Asked, makeConfidentialMachines } from '../attestation/confidential-machines.ts';
import { ANCHOR, codeFrom, GOOD_VALUE, type Machine, PROD, type Published, starterPolicies, TestVault } from '../vault/test-vault.ts';
import { shippedRules } from './shipped.ts';

const MIB = 1_048_576;
let vault: TestVault;
let machine: Machine;
let version: Published;
let folder: string;
let watching: Watching;
let stopWatching: () => Promise<void>;
let follower: Follower;
let confidential: Awaited<ReturnType<typeof guest>>;

beforeAll(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('gpu-1');
  version = await vault.publish('falcon', 'restricted', { 'weights.bin': Buffer.alloc(4 * MIB, 3) });
  await vault.twoPeople({ kind: 'alert-rules', namespace: SYSTEM, counter: 1, rules: shippedRules() });
  follower = alertFollower(vault.vault);
  await raised(); // from here on is watched
  folder = mkdtempSync(join(tmpdir(), 'wv-live-'));
  const old = await issueSelfSigned({ commonName: 'vault', days: 1, now: new Date(vault.clock.now().getTime() - 85_000_000) });
  writeFileSync(join(folder, 'plane.crt'), old.certificatePem); // a day long, and nearly over
  const plane = { host: '127.0.0.1', port: 0, certificate: join(folder, 'plane.crt'), privateKey: '' };
  const config = { dataPlane: plane, adminPlane: plane } as unknown as Config; // all that the watch reads
  const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };
  watching = createWatching(config, vault.clock, quiet);
  stopWatching = watching.start(vault.vault, () => undefined);
});
afterAll(async () => {
  await stopWatching();
  await follower.stop();
  await vault.remove();
  rmSync(folder, { recursive: true });
});

/** What the rules raise of all there is by now: alert and title. */
async function raised(): Promise<string[]> {
  await vault.node.sequencer.tick();
  while ((await follower.tick()) === 'moved') await vault.node.sequencer.tick();
  const records = vault.records('alert.raised') as unknown as Array<{ alert: { rule: string }; detail: string }>;
  return records.map(({ alert: { rule }, detail }) => `${rule} ${detail}`);
}
/** Waits for what timers of the watch do. */
async function eventually(alert: string): Promise<void> {
  for (let tries = 0; !(await raised()).some((one) => one.startsWith(alert)); tries++) {
    if (tries > 1_200) throw new Error(`not raised: ${alert}, but ${(await raised()).join(', ')}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
const deny = (count: number) =>
  Promise.all(Array.from({ length: count }, (_, at) => vault.ask({ machine, version: { ...version, model: `nowhere-${at}` } })));
const read = async (by: Machine, of: Published, ranges: ReadonlyArray<readonly [number, number]>) => {
  const granted = await vault.granted({ machine: by, version: of });
  for (const [start, end] of ranges) {
    const opened = await vault.opened(by, granted);
    for await (const _ of opened.read({ start, end }, new AbortController().signal, () => undefined));
  }
  await vault.vault.meter.flush();
  return granted;
};
const halves = (order: readonly number[]) => order.map((at) => [(at * MIB) / 2, ((at + 1) * MIB) / 2] as const);

describe('raised by what it is about', () => {
  test.each<[string, () => Promise<unknown>]>([
    ['A01 Many refusals of one TLS key', () => deny(5)],
    ['A01 Many refusals of one requester', async () => undefined], // the same
    ['A01 Many refusals in the vault', () => deny(20)],
    [
      'A02 Several failed attestations',
      () => Promise.all([1, 2, 3].map(() => vault.ask({ machine: { ...machine, pcrs: { sha256: { '7': 'ff'.repeat(32) } } }, version }))),
    ],
    ['A02 Replayed evidence', () => vault.ask({ machine, version, binding: new Uint8Array(32) })],
    [
      'A02 Forged evidence',
      async () => {
        confidential = await guest();
        const genuine = confidential.shows(await confidential.asked());
        const quote = Buffer.from(String((genuine.body as { quote: string }).quote), 'base64');
        quote[600] = (quote[600] ?? 0) ^ 1; // within what is signed
        vault.expectDenied(
          await confidential.ask(() => ({ kind: 'tdx', body: { quote: quote.toString('base64') } })),
          'evidence_signature_invalid',
        );
      },
    ],
    ['A19 Evidence was judged', async () => expect((await confidential.ask(confidential.shows)).refused).toBe(false)],
    ['A03 An allowed requester', () => vault.granted({ machine, version })],
    ['A07 A release to a network', () => vault.granted({ machine, version, remoteAddress: '203.0.113.9' })],
    [
      'A07 A release outside the hours',
      async () => {
        const byNight = await vault.upload('owl', 'internal', undefined, PROD, { 'release-hours': '22-05' });
        await vault.granted({ machine, version: byNight }); // at noon
      },
    ],
    ['A06 Scattered reads', () => read(machine, version, halves([7, 5, 3, 1, 6, 4, 2, 0]))],
    [
      'A04 More than twice a model',
      async () => {
        for (let at = 0; at < 3; at++) {
          const { permit } = await read(machine, version, [[0, 4 * MIB]]);
          await endRelease(permit.namespace, permit.releaseId, 'completed', vault.vault);
        }
      },
    ],
    [
      'A04 Slow drip',
      async () => {
        const dripping = await vault.machine('dripping');
        const least = Math.floor((4 * MIB) / 100) - 100; // less than a hundredth of it
        const all = await Promise.all(Array.from({ length: 102 }, () => read(dripping, version, [[0, least]])));
        await Promise.all(all.map(({ permit }) => endRelease(permit.namespace, permit.releaseId, 'completed', vault.vault)));
      },
    ],
    [
      'A04 A budget refused',
      async () => {
        const forbid =
          '@id("egress-none") forbid (principal, action == WeightVault::Action::"release", resource) when { context.egress.replicasLast24h >= 1 };';
        await vault.twoPeople({
          kind: 'policy-set',
          namespace: PROD,
          counter: 2,
          policies: { ...starterPolicies('restricted'), 'egress-none': forbid },
        });
        vault.expectDenied(await vault.ask({ machine, version }), 'policy_denied');
        const budgeted = await vault.machine('budgeted');
        const granted = await vault.granted({ machine: budgeted, version });
        await vault.fetch(budgeted, granted); // once and an eighth is what it reserved
        expect(await codeFrom(vault.fetch(budgeted, granted))).toBe('egress_exhausted');
        await vault.twoPeople({ kind: 'policy-set', namespace: PROD, counter: 3, policies: starterPolicies('restricted', 'internal') });
      },
    ],
    ['A04 A budget cut', async () => undefined], // the second reading
    ['A04 More than one and a half', async () => undefined], // and twice, above
    [
      'A04 More replicas of a model at one site',
      async () => {
        const node = await vault.addNode({ siteOf: SITES });
        for (let at = 0; at < 9; at++) await vault.granted({ machine: await vault.machine(`at-site-${at}`), version, node });
      },
    ],
    ['A07 A release to a country', async () => undefined], // it was the first time of each
    [
      'A05 More machines than declared',
      async () => {
        for (let at = 0; at < 8; at++) await vault.granted({ machine: await vault.machine(`replica-${at}`), version });
      },
    ],
    ['A09 A witness saw another log', async () => noteWitnesses(vault.vault, () => undefined).event(CONFLICT)],
    ['A10 Something that follows', async () => noteWitnesses(vault.vault, () => undefined).lag(true)],
    ['A10 Nothing new is released', async () => noteRoom('low', 'ample', vault.vault, () => undefined)],
    ['A20 A second signer', async () => watching.onSequencer({ kind: 'conflict', severity: 'warning' })],
    ['A11 A control was changed', async () => undefined], // policies, above
    [
      'A11 A control was changed without',
      async () => {
        const { stores, vaultId, accessLog, catalogueKey } = vault.vault;
        const ring = await stores.unitOfWork.run((tx) => keyRing(SYSTEM, tx, vault.vault));
        // What a start after a rotation of the signing keys does, and whoever has the key can do.
        const old = { stores, vaultId } as unknown as StoredVault; // all that is read of it
        await putRing(ring, ring.keks, { old, accessLog, sign: catalogueKey.sign, now: vault.clock.now() });
      },
    ],
    ['A12 A login from', () => vault.login('carol')],
    [
      'A12 A lockout',
      async () => {
        const wrong = await vault.wrongCode('bob');
        const { workstation } = vault.person('bob');
        const request = { administrator: 'bob', code: wrong, workstation, requestId: 'r', remoteAddress: '192.0.2.9' };
        for (let at = 0; at < 6; at++) await codeFrom(login(request, vault.vault));
      },
    ],
    ['A01 Many refusals on one workstation', async () => undefined], // the wrong codes
    ['A12 A new authenticator', () => vault.addPerson('heidi')],
    ['A12 Two networks', () => loginFrom('203.0.113.9', vault.vault)],
    ['A12 Two countries', () => loginFrom('198.51.100.9', { ...vault.vault, siteOf: SITES })],
    [
      'A12 A login at night',
      async () => {
        vault.clock.advance(10 * 3_600); // ten in the evening
        await vault.vault.revocations.refresh();
        await vault.login('carol');
      },
    ],
    ['A10 The heartbeat', async () => undefined], // nobody beat for ten hours
    [
      'A13 The clock stands before',
      async () => {
        vault.clock.advance(-7_200); // while it was off: a process that runs goes on from the time it had
        await recordStart((await vault.addNode()).vault, 'a'.repeat(64) as Digest);
        vault.clock.advance(7_200);
      },
    ],
    ['A13 The clock is wrong', async () => vault.clock.wait(5_000)],
    ['A14 The HSM or its keeper', async () => watching.onKeeper({ event: 'exited', detail: 'signal SIGSEGV', code: 'keeper_unavailable' })],
    [
      'A15 Stored bytes are not',
      async () => {
        const before = blobFiles();
        const broken = await vault.publish('broken', 'internal', { 'weights.bin': Buffer.alloc(1_000, 9) });
        for (const file of blobFiles().filter((one) => !before.includes(one))) writeFileSync(file, Buffer.alloc(readFileSync(file).length));
        const granted = await vault.granted({ machine, version: broken });
        expect(await codeFrom(vault.fetch(machine, granted))).not.toBe('nothing thrown');
      },
    ],
    [
      'A05 More TLS keys than declared',
      async () => {
        for (let at = 0; at < 17; at++)
          await vault.granted({ machine: { ...machine, spki: Buffer.concat([machine.spki.subarray(0, -1), Buffer.of(at)]) }, version });
      },
    ],
    [
      'A06 Range scraping',
      async () => {
        const stream = vault.vault.meter.open((await vault.granted({ machine, version })).permit);
        for (let at = 0; at < 1_001; at++) stream.small();
        stream[Symbol.dispose]();
        await vault.vault.meter.flush();
        await keepHouse(vault.vault);
      },
    ],
    [
      'A16 A release that does not end',
      async () => {
        const stream = vault.vault.meter.open((await vault.granted({ machine, version })).permit);
        await vault.vault.meter.flush();
        vault.clock.advance(3_600 + 61);
        await vault.vault.revocations.refresh();
        await keepHouse(vault.vault);
        stream[Symbol.dispose]();
      },
    ],
    [
      'A16 A release whose end nobody saw',
      async () => {
        const dying = await vault.addNode();
        const granted = await vault.granted({ machine, version, node: dying });
        const opened = await vault.opened(machine, granted, 'weights.bin', dying);
        const reading = opened.read({ start: 0, end: MIB }, new AbortController().signal, () => undefined);
        await reading.next();
        vault.clock.advance(3_601);
        await vault.vault.revocations.refresh();
        await keepHouse(vault.vault);
        await reading.return().catch(() => undefined);
      },
    ],
    ['A17 Promoted by its uploader', () => vault.publish('quick', 'internal')],
    ['A18 Probing', () => deny(21)],
    ['A19 Something expires soon', async () => undefined], // the certificate above
    ['A20 Something was stopped', async () => blockSubject(await vault.as('alice'), PROD, 'at-site-0', vault.vault)],
    [
      'A20 A stop was lifted',
      async () => {
        const [stop] = await vault.stores.unitOfWork.run((tx) => knownStops(tx, vault.vault));
        await vault.stepUp('alice');
        await vault.approve(
          'bob',
          await requestLift(await vault.as('alice'), { namespace: PROD, stop: stop?.stopId as never }, vault.vault),
        );
      },
    ],
    [
      'A20 The configuration is another one',
      async () => {
        await recordStart(vault.vault, 'a'.repeat(64) as Digest);
        const { vaultId, node, stores } = vault.vault;
        const accessLog = createAccessLog({ log: stores.log, vaultId, node, configDigest: 'b'.repeat(64) as Digest });
        await recordStart({ ...vault.vault, accessLog }, 'a'.repeat(64) as Digest);
      },
    ],
  ])('%s', async (alert, happens) => {
    await happens();
    await eventually(alert);
  });

  test('and of nothing that did not happen', async () => {
    const silent = ['A08', 'A09 The access log is not'];
    for (const alert of silent) expect((await raised()).filter((one) => one.startsWith(alert))).toEqual([]);
  });

  test('A09 The access log is not what was signed, and nothing is signed any more', async () => {
    await raised();
    vault.dropTriggers();
    vault.sql(
      'UPDATE log_leaves SET leaf = CAST(replace(CAST(leaf AS TEXT), \'"outcome"\', \'"outcomf"\') AS BLOB) WHERE leaf_index >= (SELECT max(leaf_index) - 200 FROM log_leaves)',
    );
    expect(await vault.node.sequencer.tick()).toBe('halted');
    watching.onSequencer({ kind: 'halted', severity: 'critical', code: 'log_entry_mismatch', error: vault.node.sequencer.halted() });
    await eventually('A09 The access log is not');
  });
});

const SITES = siteFinder([{ name: 'berlin', country: 'DE', networks: ['198.51.100.0/24'] }]);
const loginFrom = async (remoteAddress: string, at: Vault) => {
  for (const from of ['192.0.2.1', remoteAddress]) {
    vault.clock.advance(30); // a code is good once
    await login({ administrator: 'carol', code: await vault.code('carol'), ...fromHer(), remoteAddress: from }, at);
  }
};
const fromHer = () => ({ workstation: vault.person('carol').workstation, requestId: 'r' });
const CONFLICT = {
  kind: 'witness',
  severity: 'critical',
  witness: 'witness.example',
  state: 'conflict',
  detail: '409 at a size that is not ours',
} as const;

/** A TDX guest with the real verifier before it, whose maker's publications are ten days past their date. */
async function guest() {
  const machines = await makeConfidentialMachines(new Date(vault.clock.now().getTime() - 40 * 86_400_000));
  await vault.twoPeople({ kind: 'trust-anchors', namespace: PROD, counter: 2, anchors: [ANCHOR, ...machines.anchors] });
  await vault.twoPeople({ kind: 'reference-values', namespace: PROD, counter: 2, values: [GOOD_VALUE, ...machines.referenceValues] });
  await vault.stores.unitOfWork.run(async (tx) => {
    for (const row of machines.collateral) await vault.stores.attestation.putCollateral(tx, row);
  });
  const attributes = { owner: 'us', fleet: 'production' };
  const workload = { namespace: PROD, name: 'td-guest', attributes, kind: 'tdx' as const, identity: machines.identities.tdx };
  await enrolWorkload(await vault.as('alice'), workload, vault.vault);
  const node = await vault.addNode({ verifiers: new Map([['tdx', createTdxVerifier()]]) });
  const asked = async () => {
    const { challengeId, nonce } = await issueChallenge(machine.spki, node.vault);
    return { challengeId, vaultId: vault.vault.vaultId, challengeNonce: nonce, spki: machine.spki };
  };
  const ask = async (shows: (to: Asked) => Evidence) => {
    const { challengeId, ...to } = await asked();
    return vault.ask({ machine, version, node, challengeId, evidence: [shows(to)] });
  };
  return { asked, ask, shows: (to: Asked) => machines.tdx(to) };
}

function blobFiles(): string[] {
  const below = join(vault.site.folder, 'blobs');
  return readdirSync(below, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

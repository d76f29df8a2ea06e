/** The life of a release, while bytes of it are under way: expired, renewed, renewed too late. On two processes of one vault. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { issueChallenge } from '../../src/vault/challenge.ts';
import { finishRelease } from '../../src/vault/finish.ts';
import type { OpenedObject } from '../../src/vault/open-object.ts';
import { endOverdueReleases } from '../../src/vault/outcome.ts';
import type { Granted } from '../../src/vault/release.ts';
import { renew } from '../../src/vault/renew.ts';
import { codeFrom, collect, type Machine, type Node, noise, type Published, TestVault } from '../vault/test-vault.ts';
import { type Bystander, bystanderOf, outcomeOf } from './bystander.ts';

const MIB = 1 << 20;
const HOUR = 3600;
const weights = noise(4 * MIB);

let vault: TestVault;
let bystander: Bystander;
let machine: Machine;
let version: Published;
let granted: Granted;
let other: Node;
beforeEach(async () => {
  vault = await TestVault.ready();
  bystander = await bystanderOf(vault);
  machine = await vault.machine('gpu-1');
  version = await vault.publish('falcon', 'restricted', { 'weights.bin': weights });
  granted = await vault.granted({ machine, version });
  other = await vault.addNode();
});
afterEach(async () => {
  await bystander.served();
  await bystander.served(other);
  await vault.remove();
});

const streamOf = (opened: OpenedObject, start = 0) =>
  opened.read({ start, end: opened.object.size }, new AbortController().signal, () => undefined);
const open = (node: Node) => outcomeOf(vault.open(machine, granted, 'weights.bin', node));

async function renewed(node = vault.node): Promise<string> {
  const { namespace, releaseId } = granted.permit;
  const { spki } = machine;
  const challenge = await issueChallenge(spki, node.vault);
  const evidence = [await vault.evidenceFor(machine, challenge)];
  const asked = { requestId: 'r', namespace, releaseId, challengeId: challenge.challengeId, evidence, spki, remoteAddress: '198.51.100.7' };
  return outcomeOf(renew(asked, node.vault));
}

/** The clock of the tests moved; what a node reads each second is read now. */
async function pass(seconds: number): Promise<void> {
  vault.clock.advance(seconds);
  for (const node of [vault.node, other]) await node.vault.revocations.refresh();
}

describe('an expired release', () => {
  test('cuts the streams under way on both processes, opens no more, and ends as expired with the bytes that left', async () => {
    const streams = [];
    for (const node of [vault.node, other]) streams.push(streamOf(await vault.opened(machine, granted, 'weights.bin', node)));
    let sent = 0;
    for (const stream of streams) sent += (await stream.next()).value?.length ?? 0;
    await pass(HOUR);
    for (const stream of streams) expect(await codeFrom(stream.next())).toBe('release_expired');
    for (const node of [vault.node, other]) expect(await open(node)).toBe('release_expired');
    expect(vault.lastRecord()).toMatchObject({ type: 'object.denied', reason: 'release_expired' });

    for (const node of [vault.node, other]) await node.vault.meter.flush();
    await endOverdueReleases(vault.vault);
    const { recordId } = granted.permit;
    expect(vault.records('release.end').find(({ release }) => release?.begin === recordId)).toMatchObject({
      release: { outcome: 'expired', bytes: sent, abortedStreams: 2 },
    });
  });

  test('is served to its last second, and not one more', async () => {
    await pass(HOUR - 1);
    expect(Buffer.compare(await vault.fetch(machine, granted), weights)).toBe(0);
    await pass(1);
    for (const node of [vault.node, other]) expect(await open(node)).toBe('release_expired');
  });

  test('is not renewed, on any process, and new evidence gets a new release', async () => {
    await pass(HOUR);
    for (const node of [vault.node, other]) expect(await renewed(node)).toBe('release_expired');
    expect(vault.lastRecord()).toMatchObject({ type: 'release.denied', reason: 'release_expired' });
    expect(vault.records('release.renewed')).toEqual([]);
    expect(Buffer.compare(await vault.fetch(machine, await vault.granted({ machine, version })), weights)).toBe(0);
  });
});

describe('a renewed release', () => {
  test('is read past its first expiry on both processes, and expires at the second', async () => {
    await pass(HOUR - 10);
    expect(await renewed(other)).toBe('granted');
    await pass(20);
    for (const node of [vault.node, other])
      expect(Buffer.compare(await vault.fetch(machine, granted, 'weights.bin', node), weights)).toBe(0);
    await pass(HOUR);
    for (const node of [vault.node, other]) expect(await open(node)).toBe('release_expired');
  });

  test('ends the stream that began before at the expiry it began under; the rest is asked for by range', async () => {
    await pass(HOUR - 10);
    const stream = streamOf(await vault.opened(machine, granted));
    const first = Uint8Array.from((await stream.next()).value ?? []);
    expect(await renewed()).toBe('granted');
    await pass(20);
    expect(await codeFrom(stream.next())).toBe('release_expired');
    const rest = await collect(streamOf(await vault.opened(machine, granted, 'weights.bin', other), first.length));
    expect(Buffer.compare(Buffer.concat([first, rest]), weights)).toBe(0);
  });

  test('that was ended by its requester is neither read nor renewed again', async () => {
    expect(await renewed()).toBe('granted');
    const { namespace, releaseId } = granted.permit;
    await finishRelease({ requestId: 'r', namespace, releaseId, spki: machine.spki, remoteAddress: '' }, vault.vault);
    for (const node of [vault.node, other]) {
      expect(await open(node)).toBe('release_ended');
      expect(await renewed(node)).toBe('release_ended');
    }
  });
});

/** How releases end: once each, with what really left; and every begin has its end. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { blockSubject } from '../../src/vault/block.ts';
import { finishRelease } from '../../src/vault/finish.ts';
import { endOverdueReleases, keepHouse } from '../../src/vault/outcome.ts';
import type { Granted } from '../../src/vault/release.ts';
import { codeFrom, type Machine, marker, type Node, type Published, TestVault } from './test-vault.ts';

const MIB = 1 << 20;

let vault: TestVault;
let machine: Machine;
let version: Published;

beforeEach(async () => {
  vault = await TestVault.ready();
  machine = await vault.machine('gpu-1');
  version = await vault.publish('falcon', 'restricted', { 'a.bin': marker(2 * MIB), 'b.bin': marker(100) });
});
afterEach(() => vault.remove());

const finish = (granted: Granted, node = vault.node) => {
  const { namespace, releaseId } = granted.permit;
  return finishRelease({ requestId: 'r', namespace, releaseId, spki: machine.spki, remoteAddress: '' }, node.vault);
};
const ends = (granted?: Granted) =>
  vault
    .records()
    .filter(({ type }) => type === 'release.end' || type === 'release.unknown')
    .filter(({ release }) => granted === undefined || release?.releaseId === granted.permit.releaseId);

async function startReading(granted: Granted, node: Node = vault.node) {
  const opened = await vault.opened(machine, granted, 'a.bin', node);
  const chunks = opened.read({ start: 0, end: opened.object.size }, new AbortController().signal, () => undefined);
  await chunks.next();
  return chunks;
}

function expectBalance(live: number): void {
  const begins = vault.records('release.begin').map(({ recordId }) => recordId);
  const ended = ends().map(({ release }) => release?.begin);
  expect(new Set(ended).size).toBe(ended.length); // no release ends twice
  expect(ended.filter((begin) => !begins.includes(String(begin)))).toEqual([]);
  expect(begins.length).toBe(ended.length + live);
}

describe('a release that its requester ends', () => {
  test('is completed when the whole version left, with the bytes and objects', async () => {
    const granted = await vault.granted({ machine, version });
    await vault.fetch(machine, granted, 'a.bin');
    await vault.fetch(machine, granted, 'b.bin');
    expect(await finish(granted)).toBeUndefined();
    expect(ends(granted)).toMatchObject([
      {
        type: 'release.end',
        outcome: 'success',
        release: { begin: granted.permit.recordId, outcome: 'completed', bytes: 2 * MIB + 100, completedObjects: 2, abortedStreams: 0 },
      },
    ]);
  });

  test('is aborted when less left', async () => {
    const granted = await vault.granted({ machine, version });
    await vault.fetch(machine, granted, 'b.bin');
    await finish(granted);
    expect(ends(granted)).toMatchObject([{ outcome: 'failure', release: { outcome: 'aborted', bytes: 100, completedObjects: 1 } }]);
  });

  test('is the sum over the nodes that served it', async () => {
    const other = await vault.addNode();
    const granted = await vault.granted({ machine, version });
    await vault.fetch(machine, granted, 'a.bin');
    await vault.fetch(machine, granted, 'b.bin', other);
    await vault.vault.meter.flush(); // each node does, every second
    await finish(granted, other);
    expect(ends(granted)).toMatchObject([{ release: { outcome: 'completed', bytes: 2 * MIB + 100, completedObjects: 2 } }]);
  });

  test('ends once, however often and wherever it is ended', async () => {
    const other = await vault.addNode();
    const granted = await vault.granted({ machine, version });
    await Promise.all([finish(granted), finish(granted, other), finish(granted), finish(granted, other)]);
    await endOverdueReleases(vault.vault);
    expect(ends(granted)).toHaveLength(1);
    expectBalance(0);
  });

  test('does not end while a stream of it is open, on this node or another: release_busy, and the end counts every byte', async () => {
    const other = await vault.addNode();
    const granted = await vault.granted({ machine, version });
    for (const node of [vault.node, other]) await keepHouse(node.vault);
    const chunks = await startReading(granted, other);
    for (const node of [vault.node, other]) expect(await codeFrom(finish(granted, node))).toBe('release_busy');
    expect(ends(granted)).toEqual([]);
    await chunks.next();
    await chunks.next();
    expect(await codeFrom(finish(granted))).toBe('release_busy'); // the other node has not said yet that it is done
    await other.vault.meter.flush();
    expect(await finish(granted)).toBeUndefined();
    expect(ends(granted)).toMatchObject([{ release: { outcome: 'aborted', bytes: 2 * MIB, completedObjects: 1 } }]);
  });

  test('does not end under an open stream either in the first second of a node, before it has said that it lives', async () => {
    const granted = await vault.granted({ machine, version });
    const chunks = await startReading(granted); // keepHouse has not run yet
    expect(await codeFrom(finish(granted))).toBe('release_busy');
    await chunks.return(undefined);
  });

  test('sends nothing on a stream that is opened before the end and read after it', async () => {
    const granted = await vault.granted({ machine, version });
    const opened = await vault.opened(machine, granted, 'a.bin');
    await finish(granted);
    const chunks = opened.read({ start: 0, end: 10 }, new AbortController().signal, () => undefined);
    expect(await codeFrom(chunks.next())).toBe('release_ended');
    expect(ends(granted)).toMatchObject([{ release: { bytes: 0 } }]);
  });
});

describe('a release that runs out', () => {
  test('is expired, once, when nobody is sending', async () => {
    const granted = await vault.granted({ machine, version });
    await vault.fetch(machine, granted, 'b.bin');
    await keepHouse(vault.vault);
    expect(ends(granted)).toEqual([]);
    vault.clock.advance(3600);
    await keepHouse(vault.vault);
    await keepHouse(vault.vault);
    expect(ends(granted)).toMatchObject([
      { type: 'release.end', outcome: 'failure', reason: 'release_expired', release: { outcome: 'expired', bytes: 100 } },
    ]);
  });

  test('sends nothing more, and is not ended before its stream is', async () => {
    const granted = await vault.granted({ machine, version });
    await keepHouse(vault.vault);
    const chunks = await startReading(granted);
    vault.clock.advance(3600);
    await keepHouse(vault.vault);
    expect(ends(granted)).toEqual([]);
    expectBalance(1);
    await vault.vault.revocations.refresh();
    expect(await codeFrom(chunks.next())).toBe('release_expired');
    await keepHouse(vault.vault);
    expect(ends(granted)).toMatchObject([{ reason: 'release_expired', release: { outcome: 'expired', bytes: MIB, abortedStreams: 1 } }]);
    expectBalance(0);
  });

  test('is swept by two nodes at once, and ends once', async () => {
    const other = await vault.addNode();
    const all = await Promise.all(Array.from({ length: 20 }, () => vault.granted({ machine, version })));
    vault.clock.advance(3600);
    await Promise.all([keepHouse(vault.vault), keepHouse(other.vault), keepHouse(vault.vault), keepHouse(other.vault)]);
    expect(ends()).toHaveLength(all.length);
    expectBalance(0);
  });
});

describe('a release that is cut', () => {
  test('ends as cut, with the bytes that left before', async () => {
    const granted = await vault.granted({ machine, version });
    await keepHouse(vault.vault);
    const chunks = await startReading(granted);
    await blockSubject(await vault.as('bob'), machine.namespace, machine.name, vault.vault);
    await chunks.next().catch(() => undefined);
    await keepHouse(vault.vault);
    expect(ends(granted)).toMatchObject([
      { type: 'release.end', outcome: 'failure', reason: 'release_cut', release: { outcome: 'cut', bytes: MIB, abortedStreams: 1 } },
    ]);
    expect(vault.records('stop.placed')).toMatchObject([{ outcome: 'success', namespace: 'prod', detail: machine.name }]);
    expectBalance(0);
  });

  test('while nobody reads ends at once, and blocking twice is one record', async () => {
    const granted = await vault.granted({ machine, version });
    const bob = await vault.as('bob');
    await Promise.all([1, 2, 3].map(() => blockSubject(bob, machine.namespace, machine.name, vault.vault)));
    expect(ends(granted)).toMatchObject([{ release: { outcome: 'cut', bytes: 0 } }]);
    expect(vault.records('stop.placed')).toHaveLength(1);
  });
});

describe('a release whose node died while sending', () => {
  test('is unknown once the lease of the node is over, found by two others at once, and recorded once', async () => {
    const [dead, other] = [await vault.addNode(), await vault.addNode()];
    const granted = await vault.granted({ machine, version });
    await keepHouse(dead.vault);
    const chunks = await startReading(granted, dead);
    await dead.vault.meter.flush(); // its last word
    vault.clock.advance(3600 - 10);
    await keepHouse(dead.vault);
    vault.clock.advance(10);
    await Promise.all([keepHouse(vault.vault), keepHouse(other.vault)]);
    expect(ends(granted)).toEqual([]); // its lease runs for another 5 s
    vault.clock.advance(6);
    await Promise.all([keepHouse(vault.vault), keepHouse(other.vault)]);
    expect(ends(granted)).toMatchObject([{ type: 'release.unknown', outcome: 'failure', release: { outcome: 'unknown', bytes: MIB } }]);
    expectBalance(0);
    await chunks.return(undefined);
  });
});

test('every begin is ended or live, whatever happened', async () => {
  const other = await vault.addNode();
  for (const node of [vault.node, other]) await keepHouse(node.vault);
  const [done, left, open, blocked] = [
    await vault.granted({ machine, version }),
    await vault.granted({ machine, version, node: other }),
    await vault.granted({ machine, version }),
    await vault.machine('gpu-2').then((bad) => vault.granted({ machine: bad, version })),
  ];
  await vault.fetch(machine, done, 'a.bin');
  await vault.fetch(machine, done, 'b.bin', other);
  await other.vault.meter.flush();
  await finish(done);
  await finish(left, other);
  const chunks = await startReading(open);
  await blockSubject(await vault.as('bob'), machine.namespace, 'gpu-2', vault.vault);
  expectBalance(1);
  expect(ends(blocked)).toMatchObject([{ release: { outcome: 'cut' } }]);
  await chunks.return(undefined);
  await vault.vault.meter.flush(); // on a slow disk the other node may come first, and a lease of that long ago is over
  vault.clock.advance(4000);
  await Promise.all([keepHouse(vault.vault), keepHouse(other.vault)]);
  expectBalance(0);
  expect(ends(open)).toMatchObject([{ release: { outcome: 'expired', bytes: MIB, abortedStreams: 1 } }]);
});

/** Promise P3 when things happen at the same moment: a stop between any two steps of a release or a read, and any order of reading, waiting and losing the database. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DEFAULTS } from '../../src/domain/classes.ts';
import { systemClock } from '../../src/domain/clock.ts';
import { VaultError } from '../../src/domain/errors.ts';
import type { Tx, UnitOfWork } from '../../src/domain/unit-of-work.ts';
import { blockSubject } from '../../src/vault/block.ts';
import { keepHouse } from '../../src/vault/outcome.ts';
import type { Granted } from '../../src/vault/release.ts';
import { createRevocations } from '../../src/vault/revoke.ts';
import { suspend } from '../../src/vault/stop.ts';
import type { Vault } from '../../src/vault/vault.ts';
import { codeFrom, type Machine, marker, type Node, PROD, type Published, TestVault } from './test-vault.ts';

const MIB = 1 << 20;
const CHUNKS = 12;

let vault: TestVault;
let made = 0;
let machine: Machine;
let version: Published;

beforeAll(async () => {
  vault = await TestVault.ready();
  version = await vault.publish('falcon', 'internal', { 'weights.bin': marker(CHUNKS * MIB) });
});
afterAll(() => vault.remove());
beforeEach(async () => {
  machine = await vault.machine(`gpu-${made++}`);
});

const block = async (who = machine, node = vault.node) => blockSubject(await vault.as('bob'), PROD, who.name, node.vault);

/** A node on which `event` happens just before its transaction number `at` begins; `count` says how many there were. */
async function nodeWith(at: number, event: () => Promise<unknown>): Promise<Node & { count(): number }> {
  const { vault: plain, sequencer } = await vault.addNode();
  await keepHouse(plain); // says that it lives
  let count = 0;
  const unitOfWork: UnitOfWork = {
    async run<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
      if (count++ === at) await event();
      return plain.stores.unitOfWork.run(work);
    },
  };
  return { vault: { ...plain, stores: { ...plain.stores, unitOfWork } }, sequencer, count: () => count };
}

const outcomeOf = (granted: Granted) => vault.row('SELECT outcome FROM releases WHERE release_id = ?', granted.permit.releaseId)['outcome'];

describe('a block between any two transactions', () => {
  test('of a release: it is refused on record, or ended as cut, and never lives', async () => {
    const steps = await nodeWith(-1, async () => undefined);
    await vault.granted({ machine, version, node: steps });
    expect(steps.count()).toBeGreaterThan(4);
    let refused = 0;
    for (let at = 0; at < steps.count(); at++) {
      const late = await vault.machine(`gpu-late-${made++}`);
      const node = await nodeWith(at, () => block(late));
      const begins = vault.records('release.begin').length;
      const answer = await vault.ask({ machine: late, version, node });
      if (answer.refused) {
        refused++;
        vault.expectDenied(answer, 'subject_blocked');
        expect(vault.records('release.begin').length).toBe(begins);
        continue;
      }
      await keepHouse(vault.vault);
      expect(outcomeOf(answer)).toBe('cut');
      const read = await vault.open(late, answer);
      expect(read.refused && read.code).toBe('release_cut');
    }
    expect(refused).toBeGreaterThanOrEqual(steps.count() - 2); // all but those after the record: the version's row, for the unwrap
  });

  test('of a read: not one byte leaves, or the stream that had begun is cut', async () => {
    const readAll = async (who: Machine, granted: Granted, node: Node) => {
      const opened = await vault.open(who, granted, 'weights.bin', node);
      if (opened.refused) return { code: opened.code, bytes: 0 };
      let bytes = 0;
      const reading = (async () => {
        for await (const chunk of opened.read({ start: 0, end: CHUNKS * MIB }, new AbortController().signal, () => undefined)) {
          bytes += chunk.length;
          await node.vault.revocations.refresh(); // as the timer would, sooner or later
        }
      })();
      return { code: await codeFrom(reading), bytes };
    };
    const steps = await nodeWith(-1, async () => undefined);
    expect(await readAll(machine, await vault.granted({ machine, version }), steps)).toEqual({
      code: 'nothing thrown',
      bytes: CHUNKS * MIB,
    });
    expect(steps.count()).toBeGreaterThanOrEqual(3); // recheck, enter, unwrap
    for (let at = 0; at < steps.count(); at++) {
      const late = await vault.machine(`gpu-late-${made++}`);
      const granted = await vault.granted({ machine: late, version });
      const node = await nodeWith(at, () => block(late));
      const { code, bytes } = await readAll(late, granted, node);
      expect(['release_cut', 'subject_blocked']).toContain(code);
      expect(bytes).toBeLessThanOrEqual(MIB);
      await node.vault.meter.flush();
      await keepHouse(vault.vault);
      expect(outcomeOf(granted)).toBe('cut');
    }
  });
});

test('a suspension between record and unwrap leaves no key behind', async () => {
  const own = await vault.publish(`own-${made}`, 'internal');
  const from = vault.keys.opened.length;
  const { vault: plain, sequencer } = await vault.addNode();
  const press = async () => suspend(await vault.as('bob'), { namespace: PROD, model: own.model }, plain);
  // The HSM takes its time; when it has opened the key, the version is suspended and the node knows.
  const deks: Vault['deks'] = {
    ...plain.deks,
    async lease(...args) {
      await press();
      return plain.deks.lease(...args);
    },
  };
  await codeFrom(vault.ask({ machine, version: own, node: { vault: { ...plain, deks }, sequencer } }));
  const opened = vault.keys.opened.slice(from);
  expect(opened.length).toBeGreaterThan(0);
  expect(opened.every(({ disposed }) => disposed)).toBe(true);
});

/**
 * One node streams, another places the stop. The streaming node's timer is the test: every second of the fake clock it refreshes, if it can.
 * Its database answers, refuses, or never answers. Whatever the order, nothing is yielded later than 5 s after the stop was acknowledged.
 */
test('no chunk leaves later than 5 s after a stop was acknowledged, whatever the order of reading, waiting and losing the database', async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant('read' as const) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 1_500 }) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('database' as const),
        is: fc.constantFrom('there' as const, 'away' as const, 'hung' as const),
      }),
    },
  );
  const orders = fc.record({
    before: fc.array(step, { maxLength: 6 }),
    after: fc.array(step, { minLength: 4, maxLength: 25 }),
    kind: fc.constantFrom('block' as const, 'suspend' as const),
  });
  await fc.assert(
    fc.asyncProperty(orders, async ({ before, after, kind }) => {
      const who = await vault.machine(`gpu-any-${made++}`);
      const own = kind === 'block' ? version : await vault.publish(`any-${made}`, 'internal', { 'weights.bin': marker(CHUNKS * MIB) });
      const { node, database } = await fragile();
      const opened = await vault.opened(who, await vault.granted({ machine: who, version: own }), 'weights.bin', node);
      const chunks = opened.read({ start: 0, end: CHUNKS * MIB }, new AbortController().signal, () => undefined);
      await chunks.next();
      let [over, sinceRefresh, lastChunk] = [false, 0, 0];
      const run = async (steps: typeof before) => {
        for (const one of steps) {
          if (one.do === 'database') database.is = one.is;
          else if (one.do === 'wait') {
            for (let left = one.ms; left > 0; ) {
              const to = Math.min(left, DEFAULTS.revocationRefreshMs - sinceRefresh);
              vault.clock.wait(to);
              left -= to;
              sinceRefresh = (sinceRefresh + to) % DEFAULTS.revocationRefreshMs;
              if (sinceRefresh === 0) await tick(node);
            }
          } else if (!over) {
            const next = await chunks.next().catch((error) => error.code as string);
            over = typeof next === 'string' || next.done === true;
            if (!over) lastChunk = vault.clock.monotonicMs();
          }
        }
      };
      await run(before);
      if (kind === 'block') await block(who);
      else await suspend(await vault.as('bob'), { namespace: PROD, model: own.model }, vault.vault);
      const acknowledgedAt = vault.clock.monotonicMs();
      await run(after);
      await chunks.return(undefined);
      database.is = 'there';
      database.release();
      expect(lastChunk - acknowledgedAt).toBeLessThan(5_000);
    }),
    { numRuns: 40 },
  );
});

/** What the timer does, without waiting for a read that hangs. */
async function tick(node: Node): Promise<void> {
  const refreshed = codeFrom(node.vault.revocations.refresh());
  await Promise.race([refreshed, new Promise((done) => setTimeout(done, 20))]);
}

async function fragile() {
  const { vault: plain, sequencer } = await vault.addNode();
  const waiting: Array<() => void> = [];
  const database = {
    is: 'there' as 'there' | 'away' | 'hung',
    release() {
      for (const go of waiting.splice(0)) go();
    },
  };
  const unitOfWork: UnitOfWork = {
    async run<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
      if (database.is === 'away') throw new VaultError('store_unavailable');
      if (database.is === 'hung') {
        await new Promise<void>((go) => waiting.push(go));
        throw new VaultError('store_unavailable');
      }
      return plain.stores.unitOfWork.run(work);
    },
  };
  const stores = { ...plain.stores, unitOfWork };
  const revocations = createRevocations({ ...plain, stores, clock: vault.clock, onStale: () => undefined });
  await revocations.refresh();
  const node: Node = { vault: { ...plain, revocations }, sequencer };
  return { node, database };
}

describe('the timer, in real time', () => {
  test.each(['refuses', 'never answers'] as const)(
    'cuts within 4.5 s of the last answer of a database that %s, though nobody reads',
    async (how) => {
      const { vault: plain } = await vault.addNode();
      let gone = false;
      const run: UnitOfWork['run'] = (work) => {
        if (!gone) return plain.stores.unitOfWork.run(work);
        return how === 'refuses' ? Promise.reject(new VaultError('store_unavailable')) : new Promise(() => undefined);
      };
      const stores = { ...plain.stores, unitOfWork: { run } };
      // Releases expire by the fake clock's time, so only what is stale is taken from the real one.
      const clock = { now: vault.clock.now, monotonicMs: systemClock.monotonicMs };
      const revocations = createRevocations({ ...plain, stores, clock, onStale: () => undefined });
      await revocations.start();
      try {
        const { permit } = await vault.granted({ machine, version });
        await new Promise((done) => setTimeout(done, 1_300));
        await revocations.refresh();
        gone = true;
        // A timer beside it, not a clock: on a machine that stands still for a while both are late, and still go off in their order.
        const first = await new Promise<string>((done) => {
          setTimeout(done, 4_500, 'the other timer').unref();
          const guard = revocations.guard(permit, new AbortController().signal, () => done('the cut'));
          expect(() => guard.assertLive()).not.toThrow();
        });
        expect(first).toBe('the cut');
        expect(revocations.isStale()).toBe(true);
      } finally {
        revocations.stop();
      }
    },
  );
});

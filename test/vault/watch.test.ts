/** What no request tells and the watch puts on record. */
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Clock } from '../../src/domain/clock.ts';
import type { KeyId } from '../../src/domain/ids.ts';
import { cryptoperiods } from '../../src/vault/keys.ts';
import { createWatch, type Expiring, type Watch } from '../../src/vault/watch.ts';
import { PROD, TestVault } from './test-vault.ts';

/** Both clocks moved by hand, apart from each other. */
class TwoClocks implements Clock {
  wallMs = Date.parse('2026-12-01T12:00:00.000Z');
  monoMs = 1_000_000;
  now = () => new Date(this.wallMs);
  monotonicMs = () => this.monoMs;
  advance(seconds: number, wallSeconds = seconds): void {
    this.monoMs += seconds * 1000;
    this.wallMs += wallSeconds * 1000;
  }
}

let vault: TestVault;
let clock: TwoClocks;
let watch: Watch;
let expiring: Expiring[];
let synchronized: boolean;
const failures: unknown[] = [];
beforeEach(async () => {
  vault = await TestVault.make();
  await vault.node.sequencer.tick(); // nothing waits to be signed
  clock = new TwoClocks();
  expiring = [];
  synchronized = true;
  watch = createWatch(vault.vault, {
    clock,
    expiring: async () => expiring,
    synchronized: async () => synchronized,
    onFailure: (error) => void failures.push(error),
  });
});
afterEach(async () => {
  expect(failures.splice(0)).toEqual([]);
  await vault.remove();
});
const noted = (type: string) => vault.records(type).map(({ detail, outcome }) => `${outcome}: ${detail}`);
const round = async () => {
  await watch.tick();
  await vault.node.sequencer.tick();
};

test('a step of the clock, forwards or backwards, once; an ordinary second is none', async () => {
  for (let at = 0; at < 5; at++) {
    clock.advance(1);
    await round();
  }
  expect(noted('clock.anomaly')).toEqual([]);
  clock.advance(1, 3_601);
  await round();
  clock.advance(1);
  await round();
  clock.advance(1, -299);
  await round();
  expect(noted('clock.anomaly')).toEqual(['failure: step of 3600000 ms', 'failure: step of -300000 ms']);
});

test('a drift that adds up to more than half a second within the hour', async () => {
  for (let at = 0; at < 60; at++) {
    clock.advance(1, 1.01);
    await round();
  }
  expect(noted('clock.anomaly')).toHaveLength(1);
  expect(noted('clock.anomaly')[0]).toMatch(/^failure: drift of 5\d\d ms$/);
});

test('ten minutes without synchronization, once an hour; a moment without is none', async () => {
  const minutes = async (count: number) => {
    for (let at = 0; at < count; at++) {
      clock.advance(60);
      await round();
    }
  };
  synchronized = false;
  await minutes(10);
  synchronized = true;
  await minutes(1);
  synchronized = false;
  await minutes(10);
  expect(noted('clock.anomaly')).toEqual([]);
  await minutes(30);
  expect(noted('clock.anomaly')).toEqual(['failure: not synchronized for more than 10 minutes']);
  await minutes(60);
  expect(noted('clock.anomaly')).toHaveLength(2);
});

test('a checkpoint that does not come for five seconds, and then not each second', async () => {
  await vault.stores.unitOfWork.run((tx) =>
    vault.vault.accessLog.append(tx, { type: 'log.read', outcome: 'success', actor: { kind: 'system' } }),
  );
  await vault.stores.unitOfWork.run((tx) => vault.stores.log.assign(tx, 10)); // it has an index and no signature
  for (let at = 0; at < 20; at++) {
    clock.advance(1);
    await watch.tick();
  }
  expect(noted('log.lagging')).toEqual(['failure: checkpoint']);
  await vault.node.sequencer.tick();
  clock.advance(61);
  await watch.tick();
  expect(noted('log.lagging')).toHaveLength(1);
});

test('a certificate in the last tenth of its life, once a day', async () => {
  const day = 86_400_000;
  const from = new Date(clock.wallMs - 91 * day);
  expiring = [
    { name: 'certificate of the data plane', from, to: new Date(clock.wallMs + 9 * day) },
    { name: 'certificate of the admin plane', from, to: new Date(clock.wallMs + 90 * day) },
  ];
  for (let hour = 0; hour < 23; hour++) {
    await round();
    clock.advance(3_600);
  }
  expect(noted('expiry.near')).toEqual(['failure: certificate of the data plane ends 2026-12-10T12:00:00.000Z']);
  clock.advance(7_200);
  await round();
  expect(noted('expiry.near')).toHaveLength(2);
});

test('a KEK in the last tenth of its cryptoperiod, that of a namespace too', async () => {
  await vault.twoPeople({ kind: 'rotate-key', namespace: PROD, counter: 1, keyId: 'ns.prod' as KeyId, version: 1 });
  await vault.twoPeople({ kind: 'key-periods', namespace: PROD, counter: 2, cryptoperiodDays: 100, destructionWaitDays: 14 });
  const seen = createWatch(vault.vault, {
    clock,
    expiring: () => cryptoperiods(vault.vault),
    onFailure: (error) => void failures.push(error),
  });
  vault.clock.advance(89 * 86_400);
  clock.advance(89 * 86_400);
  await seen.tick();
  expect(noted('expiry.near')).toEqual([]);
  vault.clock.advance(2 * 86_400);
  clock.advance(2 * 86_400);
  await seen.tick();
  expect(noted('expiry.near')).toEqual([expect.stringMatching(/^failure: the cryptoperiod of ns\.prod\/1 ends 20/)]);
});

test('far more unwraps in a minute than usual; a slow rise and a few are none', async () => {
  const minute = async (unwraps: number) => {
    for (let at = 0; at < unwraps; at++) watch.unwrapped();
    clock.advance(61);
    await round();
  };
  for (const unwraps of [30, 30, 30, 40, 50]) await minute(unwraps);
  await minute(400);
  expect(noted('hsm.event')).toHaveLength(1);
  expect(noted('hsm.event')[0]).toMatch(/^failure: 400 unwraps in a minute, usually \d+$/);
});

test('what the keeper says is on record with its code, and the same is not said twice in a minute', async () => {
  for (let at = 0; at < 3; at++) await watch.note('hsm.event', { reason: 'pin_incorrect', detail: 'login: refused' });
  await watch.note('hsm.event', { detail: 'lost: session' });
  clock.advance(61);
  await watch.note('hsm.event', { reason: 'pin_incorrect', detail: 'login: refused' });
  expect(noted('hsm.event')).toEqual(['failure: login: refused', 'failure: lost: session', 'failure: login: refused']);
  expect(vault.records('hsm.event')[0]?.reason).toBe('pin_incorrect');
});

import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { Room } from '../../src/audit/room.ts';
import { DEFAULTS } from '../../src/domain/classes.ts';
import { VaultError } from '../../src/domain/errors.ts';
import { createReadiness, type Unready } from '../../src/vault/readiness.ts';
import type { Vault } from '../../src/vault/vault.ts';

/** What a test breaks. */
interface Condition {
  store: () => Promise<unknown>;
  /** The document of the sinks; that a required one is behind: test/vault/log-sinks.test.ts. */
  sinks: () => Promise<unknown>;
  keeper: () => Promise<{ ok: boolean }>;
  halted: boolean;
  room: Room;
  stale: boolean;
}

let now: Condition;
let probes: number;
let said: Array<Unready | undefined>;
/** Answers nothing until the test is over with it. */
let release: () => void = () => undefined;
const hang = () =>
  new Promise<{ ok: boolean }>((done) => {
    release = () => done({ ok: true });
  });

function readiness() {
  const ports = {
    stores: {
      unitOfWork: {
        run: async (work: (tx: object) => Promise<unknown>) => {
          probes++;
          await now.store();
          return work({});
        },
      },
      documents: { current: () => now.sinks() },
    },
    catalogueKey: {},
    keys: { health: () => now.keeper() },
    logRoom: () => now.room,
    logHalted: () => (now.halted ? new VaultError('log_root_mismatch') : undefined),
    revocations: { isStale: () => now.stale },
  };
  return createReadiness(ports as unknown as Vault, (reason) => said.push(reason));
}

beforeEach(() => {
  jest.useFakeTimers();
  probes = 0;
  said = [];
  now = {
    store: async () => true,
    sinks: async () => undefined,
    keeper: async () => ({ ok: true }),
    halted: false,
    room: 'ample',
    stale: false,
  };
});
afterEach(() => void jest.useRealTimers());

describe('a node is ready', () => {
  test('when everything answers, and nobody is told what did not change', async () => {
    const one = readiness();
    expect([await one.check(), await one.check()]).toEqual([undefined, undefined]);
    expect(said).toEqual([]);
  });

  test.each<[Unready, Partial<Condition>]>([
    ['store', { store: async () => Promise.reject(new VaultError('store_unavailable')) }],
    ['store', { store: hang }],
    ['log_sink_behind', { sinks: async () => Promise.reject(new VaultError('document_invalid')) }],
    ['store', { sinks: async () => Promise.reject(new VaultError('store_unavailable')) }],
    ['keeper', { keeper: async () => ({ ok: false }) }],
    ['keeper', { keeper: async () => Promise.reject(new VaultError('keeper_unavailable')) }],
    ['keeper', { keeper: hang }],
    ['log_halted', { halted: true }],
    ['log_space_low', { room: 'low' }],
    ['revocations_stale', { stale: true }],
  ])('not: %s', async (reason, broken) => {
    const one = readiness();
    const sound = now;
    now = { ...sound, ...broken };
    const checked = one.check();
    await jest.advanceTimersByTimeAsync(DEFAULTS.readinessDeadlineMs);
    expect(await checked).toBe(reason);
    now = sound;
    release();
    await jest.advanceTimersByTimeAsync(DEFAULTS.readinessCacheMs);
    expect(await one.check()).toBeUndefined();
    expect(said).toEqual([reason, undefined]);
  });

  test('not while it drains, whatever else is well, and never again', async () => {
    const one = readiness();
    one.drain();
    expect([await one.check(), one.draining()]).toEqual(['draining', true]);
    await jest.advanceTimersByTimeAsync(60_000);
    expect(await one.check()).toBe('draining');
    expect(said).toEqual(['draining']);
  });
});

describe('asking costs little', () => {
  test('a thousand questions at once, and more within the second, are one probe', async () => {
    const one = readiness();
    await Promise.all(Array.from({ length: 1000 }, () => one.check()));
    await jest.advanceTimersByTimeAsync(DEFAULTS.readinessCacheMs - 1);
    await one.check();
    expect(probes).toBe(1);
    await jest.advanceTimersByTimeAsync(1);
    await one.check();
    expect(probes).toBe(2);
  });

  test('what is known without a probe is never cached', async () => {
    const one = readiness();
    expect(await one.check()).toBeUndefined();
    now.stale = true;
    expect(await one.check()).toBe('revocations_stale');
  });

  test('a store that hangs is not asked by everybody: the probes do not pile up', async () => {
    const one = readiness();
    now.store = hang;
    for (let second = 0; second < 20; second++) {
      void one.check();
      await jest.advanceTimersByTimeAsync(1000);
    }
    expect(probes).toBe(1);
    expect(said).toEqual(['store']);
  });
});

/** Whether this node should be sent requests: it could answer one now, and is not about to stop. */
import { DEFAULTS } from '../domain/classes.ts';
import { isTampering, VaultError } from '../domain/errors.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { assertSinksFollow } from './sink-lag.ts';
import type { Vault } from './vault.ts';

/** Why a node is not ready. For whoever runs it: strangers learn only that. */
export type Unready = 'draining' | 'log_halted' | 'log_space_low' | 'log_sink_behind' | 'revocations_stale' | 'store' | 'keeper';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'keys' | 'logHalted' | 'logRoom' | 'revocations'>;

export interface Readiness {
  /** Undefined when ready. Never rejects; answers within `readinessDeadlineMs`; probes at most once in `readinessCacheMs`. */
  check(): Promise<Unready | undefined>;
  /** From now on the node is not ready, for good. */
  drain(): void;
  draining(): boolean;
}

export function createReadiness(vault: Ports, onChange: (now: Unready | undefined) => void = () => undefined): Readiness {
  let draining = false;
  let said: Unready | undefined;
  let probed: { readonly at: number; readonly result: Promise<Unready | undefined> } | undefined;
  const store = oneAtATime(() => vault.stores.unitOfWork.run((tx) => behindOf(tx, vault)));
  const keeper = oneAtATime(async () => ((await vault.keys.health()).ok ? undefined : 'keeper'));

  const probe = () => {
    const now = performance.now();
    if (probed === undefined || now - probed.at >= DEFAULTS.readinessCacheMs) probed = { at: now, result: probeOnce(store, keeper) };
    return probed.result;
  };
  const say = (now: Unready | undefined) => {
    if (now !== said) onChange(now);
    said = now;
    return now;
  };
  return {
    async check() {
      const known = () => (draining ? 'draining' : undefined) ?? told(vault);
      return say(known() ?? (await probe()) ?? known()); // asked again: the probe took its time
    },
    drain() {
      draining = true;
      say('draining');
    },
    draining: () => draining,
  };
}

/** What is known without asking anybody. */
function told(vault: Ports): Unready | undefined {
  if (vault.logHalted() !== undefined) return 'log_halted';
  if (vault.logRoom() !== 'ample') return 'log_space_low';
  return vault.revocations.isStale() ? 'revocations_stale' : undefined;
}

type Probe = () => Promise<Unready | undefined>;

async function probeOnce(store: Probe, keeper: Probe): Promise<Unready | undefined> {
  const [ofStore, ofKeeper] = await Promise.all([inTime(store(), 'store'), inTime(keeper(), 'keeper')]);
  return ofStore ?? ofKeeper;
}

/** A required sink that is behind, or nobody knows whether one is. */
async function behindOf(tx: Tx, vault: Ports): Promise<Unready | undefined> {
  try {
    await assertSinksFollow(tx, vault);
    return undefined;
  } catch (error) {
    if (error instanceof VaultError && (error.code === 'log_sink_behind' || isTampering(error.code))) return 'log_sink_behind';
    throw error;
  }
}

/** What hangs is not asked again before it has answered. */
function oneAtATime(ask: Probe): Probe {
  let underWay: Promise<Unready | undefined> | undefined;
  return () => {
    underWay ??= ask().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
}

/** What it answers; `otherwise` when it fails or does not answer in time. */
async function inTime(answer: Promise<Unready | undefined>, otherwise: Unready): Promise<Unready | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Unready>((resolve) => {
    timer = setTimeout(() => resolve(otherwise), DEFAULTS.readinessDeadlineMs);
  });
  try {
    return await Promise.race([answer, late]);
  } catch {
    return otherwise; // why, the operational log and the next real request say
  } finally {
    clearTimeout(timer);
  }
}

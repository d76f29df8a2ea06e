/** Whether this node should be sent requests: it could answer one now, and is not about to stop. */
import { DEFAULTS } from '../domain/classes.ts';
import type { Vault } from './vault.ts';

/** Why a node is not ready. For whoever runs it: strangers learn only that. */
export type Unready = 'draining' | 'log_halted' | 'log_space_low' | 'revocations_stale' | 'store' | 'keeper';

type Ports = Pick<Vault, 'stores' | 'keys' | 'logHalted' | 'logRoom' | 'revocations'>;

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
  const store = oneAtATime(() => vault.stores.unitOfWork.run(async () => true));
  const keeper = oneAtATime(() => vault.keys.health().then(({ ok }) => ok));

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

async function probeOnce(store: () => Promise<boolean>, keeper: () => Promise<boolean>): Promise<Unready | undefined> {
  const [storeAnswers, keeperAnswers] = await Promise.all([inTime(store()), inTime(keeper())]);
  if (!storeAnswers) return 'store';
  return keeperAnswers ? undefined : 'keeper';
}

/** What hangs is not asked again before it has answered. */
function oneAtATime(ask: () => Promise<boolean>): () => Promise<boolean> {
  let underWay: Promise<boolean> | undefined;
  return () => {
    underWay ??= ask().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
}

/** False when it is, when it fails, and when it does not answer in time. */
async function inTime(answer: Promise<boolean>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), DEFAULTS.readinessDeadlineMs);
  });
  try {
    return await Promise.race([answer, late]);
  } catch {
    return false; // why, the operational log and the next real request say
  } finally {
    clearTimeout(timer);
  }
}

/** What the vault does, counted on its way through the ports. Figures only: nothing here can refuse, delay or change anything. */
import type { AccessLog } from '../audit/access-log.ts';
import type { Room } from '../audit/room.ts';
import { codeOf } from '../domain/errors.ts';
import type { KeyProvider } from '../keys/port.ts';
import type { Gauges, Metrics } from '../telemetry/metrics.ts';
import { keyFigures } from './keys.ts';
import type { ReleaseMeter } from './meter.ts';
import type { Readiness } from './readiness.ts';
import { indexState } from './search-log.ts';
import { type SinkState, sinkStates } from './sink-lag.ts';
import type { Vault } from './vault.ts';

export function measuredKeys(keys: KeyProvider, metrics: Metrics, unwrapped: () => void = () => undefined): KeyProvider {
  const timed =
    <A extends readonly unknown[], R>(verb: string, call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      const startedAt = performance.now();
      const end = (code?: ReturnType<typeof codeOf>) => metrics.keyCalled(verb, (performance.now() - startedAt) / 1000, code);
      try {
        const answer = await call(...args);
        end();
        return answer;
      } catch (error) {
        end(codeOf(error));
        throw error;
      }
    };
  return {
    generate: timed('generate', keys.generate),
    describe: timed('describe', keys.describe),
    destroy: timed('destroy', keys.destroy),
    wrap: timed('wrap', keys.wrap),
    unwrap: timed('unwrap', (...args) => {
      unwrapped();
      return keys.unwrap(...args);
    }),
    rewrap: timed('rewrap', keys.rewrap),
    sign: timed('sign', keys.sign),
    random: timed('random', keys.random),
    ...(keys.heads && { heads: { read: timed('readHead', keys.heads.read), write: timed('writeHead', keys.heads.write) } }),
    health: timed('health', keys.health),
    close: keys.close,
  };
}

export function measuredLog(accessLog: AccessLog, metrics: Metrics): AccessLog {
  return {
    async append(tx, draft) {
      const recordId = await accessLog.append(tx, draft);
      const { type, reason, object } = draft;
      metrics.recorded({ type, outcome: draft.release?.outcome ?? draft.outcome, reason, class: object?.class });
      return recordId;
    },
  };
}

export function measuredMeter(meter: ReleaseMeter, metrics: Metrics): ReleaseMeter {
  return {
    flush: meter.flush,
    open(permit) {
      const stream = meter.open(permit);
      const closed = metrics.streamOpened();
      return {
        enter: stream.enter,
        small: stream.small,
        count(bytes) {
          stream.count(bytes);
          metrics.bytesSent(bytes);
        },
        complete: stream.complete,
        [Symbol.dispose]() {
          stream[Symbol.dispose]();
          closed();
        },
      };
    },
  };
}

const ROOMS: readonly Room[] = ['ample', 'low', 'spent', 'gone'];

/** What a scrape asks the vault for. */
export function gaugesOf(
  vault: Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'kek' | 'keys' | 'logHalted' | 'logRoom' | 'witnessLagMs' | 'revocations'>,
  readiness: Readiness,
): Gauges {
  return {
    ready: async () => (await readiness.check()) === undefined,
    revocationsStale: () => vault.revocations.isStale(),
    keys: () => keyFigures(vault),
    sessions: async () => (await vault.keys.health()).load,
    logHalted: () => vault.logHalted() !== undefined,
    logRoom: () => ROOMS.indexOf(vault.logRoom()),
    witnessLag: () => {
      const lagMs = vault.witnessLagMs?.();
      return lagMs === undefined ? undefined : lagMs / 1000;
    },
    readers: async () => {
      const states = await sinkStates(vault);
      const { indexed, records } = await vault.stores.unitOfWork.run((tx) => indexState(tx, vault));
      const most = (of: (state: SinkState) => number) => Math.max(0, ...states.map(of));
      const [behind, lagSeconds] = [most((state) => state.behind), most((state) => state.lagSeconds)];
      return {
        search: records - indexed,
        sinks: states.length,
        behind,
        lagSeconds,
        refusing: states.filter(({ refusing }) => refusing).length,
      };
    },
    log: () =>
      vault.stores.unitOfWork.run(async (tx) => {
        const size = (await vault.stores.log.head(tx))?.size ?? 0;
        return { size, waiting: (await vault.stores.log.assignedSize(tx)) - size };
      }),
  };
}

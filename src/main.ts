/** Start, drain, stop. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { startVault } from './compose.ts';
import { type Config, loadConfig } from './config/config.ts';
import { DEFAULTS } from './domain/classes.ts';
import { systemClock } from './domain/clock.ts';
import { codeOf } from './domain/errors.ts';
import { adminPlaneRoutes } from './http/admin-plane/routes.ts';
import { dataPlaneRoutes } from './http/data-plane/routes.ts';
import { type Listening, listen, planeApplication } from './http/listener.ts';
import { listenForMetrics } from './http/metrics-listener.ts';
import { createLogger, type Logger } from './telemetry/logger.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { gaugesOf } from './vault/measure.ts';
import { createReadiness } from './vault/readiness.ts';
import { createFetchPublication, startRefreshing } from './vault/refresh-collateral.ts';
import type { Vault } from './vault/vault.ts';

export type Planes = 'data' | 'admin' | 'both';

export interface Serving {
  readonly dataPort: number | undefined;
  readonly adminPort: number | undefined;
  readonly metricsPort: number | undefined;
  /** Says that it is not ready, waits until that was seen, lets streams finish, stops. */
  stop(): Promise<void>;
}

/** Serves one plane or both of the vault that `configFile` describes. Resolves when it listens. */
export async function serve(configFile: string, planes: Planes, log = createLogger()): Promise<Serving> {
  const config = ofItsOwn(loadConfig(configFile), planes);
  const metrics = createMetrics();
  const running = await startVault(config, log, systemClock, metrics);
  const { vault } = running;
  const readiness = createReadiness(vault, (reason) => {
    if (reason === undefined) log.info('ready');
    else log.warn('not ready', { reason });
  });
  metrics.watchProcess();
  metrics.watch(gaugesOf(vault, readiness));
  const listeners: Listening[] = [];
  const kept = async (opening: Promise<Listening>) => {
    const listening = await opening;
    listeners.push(listening);
    return listening.port;
  };
  const open = async (plane: 'data' | 'admin') => {
    if (planes !== 'both' && planes !== plane) return undefined;
    const routes = plane === 'data' ? dataPlaneRoutes(vault, readiness) : adminPlaneRoutes(vault, readiness);
    const application = planeApplication(routes, { plane, log, metrics, draining: readiness.draining });
    return kept(listen(application, plane === 'data' ? config.dataPlane : config.adminPlane));
  };
  let stopRefreshing = async () => {};
  const close = async () => {
    await stopRefreshing();
    await Promise.all(listeners.map((listener) => listener.close(DEFAULTS.drainSeconds)));
    await running.stop();
  };
  const stop = async () => {
    readiness.drain();
    await sleep(DEFAULTS.drainNoticeMs);
    await close();
  };
  try {
    const dataPort = await open('data');
    const adminPort = await open('admin');
    const metricsPort = config.metricsPlane && (await kept(listenForMetrics(config.metricsPlane, metrics, log)));
    if (planes !== 'data') stopRefreshing = refreshing(vault, config, log);
    log.info('serving', { vaultId: config.vaultId, dataPort, adminPort, metricsPort });
    return { dataPort, adminPort, metricsPort, stop };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What makers of hardware publish: by the process that administers, because it changes what is kept. Nothing without the setting. */
function refreshing(vault: Vault, { collateral }: Config, log: Logger): () => Promise<void> {
  if (collateral === undefined) return async () => {};
  const { authorities, ...settings } = collateral;
  const ca = authorities === undefined ? undefined : readFileSync(authorities, 'utf8');
  return startRefreshing(vault, {
    ...settings,
    fetch: createFetchPublication(ca),
    onProblem: ({ of }, error) =>
      log.warn('a publication was not read again', { of, why: error instanceof Error ? error.message : codeOf(error) }),
  });
}

/** Two processes that serve one plane each, over one folder, share neither a keeper's socket nor the port of the figures. */
function ofItsOwn(config: Config, planes: Planes): Config {
  if (planes === 'both') return config;
  const { metricsPlane, keeperSocket } = config;
  const port = metricsPlane && (planes === 'data' || metricsPlane.port === 0 ? metricsPlane.port : metricsPlane.port + 1);
  return {
    ...config,
    keeperSocket: keeperSocket.replace(/(?:\.sock)?$/, `-${planes}.sock`),
    ...(metricsPlane && port !== undefined && { metricsPlane: { ...metricsPlane, port } }),
  };
}

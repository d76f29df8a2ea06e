/** Start, drain, stop. */
import { startVault } from './compose.ts';
import { type Config, loadConfig } from './config/config.ts';
import { DEFAULTS } from './domain/classes.ts';
import { adminPlaneRoutes } from './http/admin-plane/routes.ts';
import { dataPlaneRoutes } from './http/data-plane/routes.ts';
import { type Listening, listen, planeApplication } from './http/listener.ts';
import { createLogger } from './telemetry/logger.ts';

export type Planes = 'data' | 'admin' | 'both';

export interface Serving {
  readonly dataPort: number | undefined;
  readonly adminPort: number | undefined;
  stop(): Promise<void>;
}

/** Serves one plane or both of the vault that `configFile` describes. Resolves when it listens. */
export async function serve(configFile: string, planes: Planes, log = createLogger()): Promise<Serving> {
  const config = withOwnKeeper(loadConfig(configFile), planes);
  const running = await startVault(config, log);
  const listeners: Listening[] = [];
  const open = async (plane: 'data' | 'admin') => {
    if (planes !== 'both' && planes !== plane) return undefined;
    const routes = plane === 'data' ? dataPlaneRoutes(running.vault) : adminPlaneRoutes(running.vault);
    const listening = await listen(planeApplication(routes, log), plane === 'data' ? config.dataPlane : config.adminPlane);
    listeners.push(listening);
    return listening.port;
  };
  const stop = async () => {
    await Promise.all(listeners.map((listener) => listener.close(DEFAULTS.drainSeconds)));
    await running.stop();
  };
  try {
    const dataPort = await open('data');
    const adminPort = await open('admin');
    log.info('serving', { vaultId: config.vaultId, dataPort, adminPort });
    return { dataPort, adminPort, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Each process has a keeper of its own: two that serve one plane each, over one folder, must not listen on one socket. */
function withOwnKeeper(config: Config, planes: Planes): Config {
  return planes === 'both' ? config : { ...config, keeperSocket: config.keeperSocket.replace(/(?:\.sock)?$/, `-${planes}.sock`) };
}

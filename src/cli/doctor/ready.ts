/** `wv doctor --ready`: what a container's health check asks. */
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import type { Config, Listener } from '../../config/config.ts';
import { VaultError } from '../../domain/errors.ts';

const DEADLINE_MS = 5_000;
const ANYWHERE: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

export interface PlaneReadiness {
  readonly plane: 'data' | 'admin';
  /** `down`: nobody listens there. A process may serve one plane only. */
  readonly status: 'ready' | 'unready' | 'down';
}

export async function askPlanes({ dataPlane, adminPlane }: Config): Promise<readonly PlaneReadiness[]> {
  return Promise.all([
    ask(dataPlane).then((status) => ({ plane: 'data' as const, status })),
    ask(adminPlane).then((status) => ({ plane: 'admin' as const, status })),
  ]);
}

/** Only the certificate of the configuration is believed, whatever names stand in it: this asks by address. */
function ask({ host, port, certificate }: Listener): Promise<PlaneReadiness['status']> {
  if (port === 0) throw new VaultError('usage', 'a plane on port 0 cannot be found: give it a port of its own');
  return new Promise((resolve) => {
    const asked = request({
      host: ANYWHERE[host] ?? host,
      port,
      path: '/v1/health/ready',
      ca: readFileSync(certificate),
      allowPartialTrustChain: true,
      rejectUnauthorized: true,
      checkServerIdentity: () => undefined,
      minVersion: 'TLSv1.3',
      agent: false,
    });
    asked.setTimeout(DEADLINE_MS, () => asked.destroy(new Error('no answer in time')));
    asked.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED' ? 'down' : 'unready'));
    asked.once('response', (response) => {
      response.resume();
      resolve(response.statusCode === 200 ? 'ready' : 'unready');
    });
    asked.end();
  });
}

/** The figures for a Prometheus scraper on this machine: plain HTTP on a loopback address, one path, nothing that says a name. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DEFAULTS } from '../domain/classes.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { bind, type Listening } from './listener.ts';

export async function listenForMetrics(
  { host, port }: { readonly host: string; readonly port: number },
  metrics: Metrics,
  log: Logger,
): Promise<Listening> {
  const server = createServer(
    { maxHeaderSize: DEFAULTS.headerBytes, headersTimeout: DEFAULTS.headerSeconds * 1000 },
    (request, response) => {
      if (request.url !== '/metrics') return void response.writeHead(404).end();
      if (request.method !== 'GET') return void response.writeHead(405, { Allow: 'GET' }).end();
      metrics.text().then(
        (text) => response.writeHead(200, { 'Content-Type': metrics.contentType, 'Cache-Control': 'no-store' }).end(text),
        (error: unknown) => {
          log.error('the figures could not be gathered', { cause: String(error) });
          response.writeHead(500).end();
        },
      );
    },
  );
  await bind(server, { host, port });
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { port: (server.address() as AddressInfo).port, close }; // listening on TCP: it has an address
}

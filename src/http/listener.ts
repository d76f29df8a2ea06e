/** A TLS listener, the same for both planes: TLS 1.3 only, client certificates asked for, no resumption. */
import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import { DEFAULTS } from '../domain/classes.ts';
import type { Logger } from '../telemetry/logger.ts';
import { problemHandler, sendProblem } from './problems.ts';
import { requestId } from './request.ts';
import { rememberConnections } from './reset.ts';

export interface ListenerOptions {
  readonly host: string;
  readonly port: number;
  /** Paths of PEM files. */
  readonly certificate: string;
  readonly privateKey: string;
}

/** A route names the Cedar action that decides it, or says why nobody needs to decide. */
export interface Route {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  readonly path: string;
  readonly action: string | { readonly open: string };
  readonly handlers: readonly RequestHandler[];
}

/** The application of one plane: request id, security headers, its routes, and problems for everything else. */
export function planeApplication(routes: readonly Route[], log: Logger): Express {
  const app = express();
  app.disable('x-powered-by').disable('etag').set('case sensitive routing', true).set('strict routing', true).set('query parser', 'simple');
  app.use(requestId);
  app.use(helmet({ contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } } }));
  for (const route of routes) app[route.method](route.path, ...route.handlers);
  for (const path of new Set(routes.map((route) => route.path))) {
    app.all(path, (_request, response) => sendProblem(response, { code: 'method_not_allowed' }));
  }
  app.use((_request, response) => sendProblem(response, { code: 'route_unknown' }));
  app.use(problemHandler(log));
  return app;
}

export interface Listening {
  readonly port: number;
  /** Stops accepting, lets answers under way finish for at most `drainSeconds`, then closes what is left. */
  close(drainSeconds: number): Promise<void>;
}

export async function listen(app: Express, options: ListenerOptions): Promise<Listening> {
  const server = createServer(
    {
      cert: readFileSync(options.certificate),
      key: readFileSync(options.privateKey),
      minVersion: 'TLSv1.3',
      // Self-signed on purpose: whoever is behind the key is decided by its digest, per request.
      requestCert: true,
      rejectUnauthorized: false,
      // A resumed session would show the old certificate without proving its key again.
      secureOptions: constants.SSL_OP_NO_TICKET,
      maxHeaderSize: DEFAULTS.headerBytes,
      headersTimeout: DEFAULTS.headerSeconds * 1000,
      handshakeTimeout: DEFAULTS.headerSeconds * 1000, // 120 s by default, also for a connection that never says a word
      requestTimeout: 0, // uploads of weights take as long as they take
      connectionsCheckingInterval: 1000,
    },
    app,
  );
  rememberConnections(server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  return { port: (server.address() as AddressInfo).port, close: (drainSeconds) => drain(server, drainSeconds) };
}

function drain(server: Server, drainSeconds: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), drainSeconds * 1000);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}

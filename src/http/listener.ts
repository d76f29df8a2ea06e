/** A TLS listener, the same for both planes: TLS 1.3 only, client certificates asked for, no resumption. */
import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Server as NetServer } from 'node:net';
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import { DEFAULTS } from '../domain/classes.ts';
import { type ErrorCode, VaultError } from '../domain/errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { closeIdle } from './idle.ts';
import { answerMalformed } from './malformed.ts';
import { problemHandler, sendProblem } from './problems.ts';
import { requestId, soundHeaders } from './request.ts';
import { rememberConnections } from './reset.ts';
import type { Route } from './route.ts';

export interface ListenerOptions {
  readonly host: string;
  readonly port: number;
  /** Paths of PEM files. */
  readonly certificate: string;
  readonly privateKey: string;
}

export interface PlaneOptions {
  readonly plane: 'data' | 'admin';
  readonly log: Logger;
  readonly metrics: Metrics;
  /** While true, every answer ends its connection, so that the next request goes to another node. */
  readonly draining: () => boolean;
}

/** The application of one plane: request id, security headers, its routes, and problems for everything else. */
export function planeApplication(routes: readonly Route[], options: PlaneOptions): Express {
  const app = express();
  app.disable('x-powered-by').disable('etag').set('case sensitive routing', true).set('strict routing', true).set('query parser', 'simple');
  app.use(requestId);
  app.use(measured(options));
  app.use((_request, response, next) => {
    if (options.draining()) response.set('Connection', 'close');
    next();
  });
  app.use(helmet({ contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } } }));
  app.use(soundHeaders);
  for (const { method, path, operationId, serve } of routes) {
    app[method](path, (request, response) => {
      response.locals['operation'] = operationId;
      return serve(request, response);
    });
  }
  for (const path of new Set(routes.map((route) => route.path))) {
    app.all(path, (_request, response) => sendProblem(response, { code: 'method_not_allowed' }));
  }
  app.use((_request, response) => sendProblem(response, { code: 'route_unknown' }));
  app.use(problemHandler(options.log));
  return app;
}

/** Counts every request once, when its answer has left or its connection is gone. */
function measured({ plane, metrics }: PlaneOptions): RequestHandler {
  return (_request, response, next) => {
    const startedAt = performance.now();
    response.once('close', () => {
      const { operation = 'none', code } = response.locals as { operation?: string; code?: ErrorCode }; // set here and in problems.ts
      metrics.answered({ plane, operation, status: response.statusCode, code, seconds: (performance.now() - startedAt) / 1000 });
    });
    next();
  };
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
      requireHostHeader: false, // refused by the application, as a problem
    },
    app,
  );
  answerMalformed(server, app);
  closeIdle(server);
  rememberConnections(server);
  await bind(server, options);
  return { port: (server.address() as AddressInfo).port, close: (drainSeconds) => drain(server, drainSeconds) };
}

/** Resolves when the server listens. Throws `configuration_invalid` where it cannot: a port that is taken, an address that is not this machine's. */
export async function bind(server: NetServer, { host, port }: { readonly host: string; readonly port: number }): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(new VaultError('configuration_invalid', `cannot listen: ${cause.message}`, { cause })));
    server.listen(port, host, resolve);
  });
}

function drain(server: Server, drainSeconds: number): Promise<void> {
  return new Promise((resolve) => {
    const idle = setInterval(() => server.closeIdleConnections(), 100); // a connection whose answer has ended since
    const over = setTimeout(() => server.closeAllConnections(), drainSeconds * 1000);
    server.close(() => {
      clearInterval(idle);
      clearTimeout(over);
      resolve();
    });
  });
}

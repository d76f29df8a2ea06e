/** A TLS 1.3 client with one key, one pinned server certificate and bounded answers. Used by the agent and by the administrators' CLI. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { DEFAULTS } from '../domain/classes.ts';
import { isErrorCode, VaultError } from '../domain/errors.ts';

export interface HttpsClientOptions {
  /** https://host:port */
  readonly url: string;
  /** PEM: the vault's own certificate. Nothing else is trusted. */
  readonly ca: string;
  readonly certificate: string;
  readonly privateKey: string;
  readonly connections?: number;
  /** A connection on which nothing moves for this long is given up. */
  readonly idleSeconds?: number;
}

export interface HttpsRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>;
  readonly signal?: AbortSignal;
}

export interface HttpsClient {
  /** Resolves with the answer's head; its body must be read or destroyed. Rejects `VaultError` for a problem answer. */
  send(request: HttpsRequest): Promise<IncomingMessage>;
  /** As `send`, with a JSON answer of at most 16 MiB, parsed; undefined for an empty one. */
  answer(request: HttpsRequest): Promise<unknown>;
  /** The same for a JSON body. */
  json(method: HttpsRequest['method'], path: string, value?: unknown, headers?: Readonly<Record<string, string>>): Promise<unknown>;
  close(): void;
}

/**
 * A connection that lay idle for longer is not taken up again. Servers close idle ones (Node after 5 s), and a request written into a
 * connection that is being closed is lost without a word on whether it was heard (RFC 9112 section 9.5). The agent's own timers do not
 * keep us from that: they are late when this process was.
 */
const REUSE_WITHIN_MS = 2_000;

const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/** A refusal by the vault, with the ids under which it is recorded. */
export class RefusedError extends VaultError {
  readonly recordId: string | undefined;
  readonly requestId: string | undefined;
  constructor(code: VaultError['code'], detail: string, ids: { recordId?: string | undefined; requestId?: string | undefined }) {
    super(code, detail);
    this.recordId = ids.recordId;
    this.requestId = ids.requestId;
  }
}

export function createHttpsClient(options: HttpsClientOptions): HttpsClient {
  const { hostname, port } = new URL(options.url);
  const { idleSeconds = DEFAULTS.clientIdleSeconds } = options;
  const agent = new Agent({
    keepAlive: true,
    maxSockets: options.connections ?? 32,
    minVersion: 'TLSv1.3',
    rejectUnauthorized: true, // whatever NODE_TLS_REJECT_UNAUTHORIZED says
    ca: options.ca,
    cert: options.certificate,
    key: options.privateKey,
    maxCachedSessions: 0,
  });
  const idleSince = new WeakMap<object, number>();
  agent.on('free', (socket) => idleSince.set(socket, performance.now()));
  const dropIdle = () => {
    const idle = Object.values(agent.freeSockets).flatMap((sockets) => sockets ?? []);
    for (const socket of idle) if (performance.now() - (idleSince.get(socket) ?? 0) > REUSE_WITHIN_MS) socket.destroy();
  };

  const send = (wanted: HttpsRequest): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const { method, path, headers = {}, body, signal } = wanted;
      dropIdle();
      const request = httpsRequest({ agent, hostname, port, method, path, headers, ...(signal && { signal }) });
      request.once('error', (cause) =>
        reject(cause instanceof VaultError ? cause : new VaultError('vault_unreachable', `no answer from ${hostname}:${port}`, { cause })),
      );
      request.setTimeout(idleSeconds * 1000, () => request.destroy(new VaultError('vault_unreachable', `silence for ${idleSeconds} s`)));
      request.once('response', (response) => {
        if ((response.statusCode ?? 500) < 400) return resolve(response);
        // A refusal may come long before the body has left: the rest of it then stays here.
        const stop = () => void (request.writableFinished || request.destroy());
        problemOf(response).then(reject, reject).finally(stop);
      });
      writeBody(request, body).catch((error) => request.destroy(error));
    });

  const answer = async (wanted: HttpsRequest) => {
    const text = (await readAll(await send(wanted))).toString('utf8');
    return text === '' ? undefined : parseJson(text);
  };

  return {
    send,
    answer,
    json(method, path, value, headers = {}) {
      const body = value === undefined ? undefined : Buffer.from(JSON.stringify(value));
      return answer({
        method,
        path,
        headers: { ...headers, ...(body && { 'Content-Type': 'application/json' }) },
        ...(body && { body }),
      });
    },
    close: () => agent.destroy(),
  };
}

async function writeBody(request: ReturnType<typeof httpsRequest>, body: HttpsRequest['body']): Promise<void> {
  if (body === undefined) return void request.end();
  if (body instanceof Uint8Array) return void request.setHeader('Content-Length', body.length).end(body);
  for await (const chunk of body) {
    if (request.destroyed) return; // ends the source as well
    await new Promise<void>((resolve, reject) => request.write(chunk, (error) => (error ? reject(error) : resolve())));
  }
  request.end();
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new VaultError('internal', 'the answer is not JSON', { cause });
  }
}

/** The whole body, refused beyond 16 MiB. */
export async function readAll(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new VaultError('request_too_large', 'the answer is larger than 16 MiB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function problemOf(response: IncomingMessage): Promise<VaultError> {
  const requestId = first(response.headers, 'x-request-id');
  try {
    const { code, detail, recordId } = JSON.parse((await readAll(response)).toString('utf8'));
    if (isErrorCode(String(code)))
      return new RefusedError(code, String(detail ?? ''), { recordId: recordId && String(recordId), requestId });
  } catch {
    // not a problem document: answered below by its status
  }
  return new RefusedError('internal', `HTTP status ${response.statusCode}`, { requestId });
}

function first(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

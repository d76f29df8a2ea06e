/**
 * What Node's parser refuses before there is a request that the application could answer: not HTTP/1.1, headers too large, headers too
 * late. Answered like everything else, as a problem, and the connection ends.
 */
import { randomUUID } from 'node:crypto';
import { type RequestListener, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ErrorCode, VaultError } from '../domain/errors.ts';
import { problemText } from './problems.ts';

/** By Node's name for it; anything else that is no HTTP is `request_invalid`. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'request_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
};

/** A peer that does not take the answer is not waited for longer than this. */
const FAREWELL_MS = 1_000;

export function answerMalformed(server: Server, application: RequestListener): void {
  const answers = new WeakMap<Duplex, Set<ServerResponse>>();
  server.on('request', ({ socket }, response) => {
    const under = answers.get(socket) ?? new Set();
    answers.set(socket, under.add(response));
    response.once('close', () => under.delete(response));
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // Bytes in the middle of an answer that has begun would be taken for a part of it.
    const begun = [...(answers.get(socket) ?? [])].some((one) => one.headersSent && !one.writableFinished);
    if (begun || !socket.writable || error.code === 'ECONNRESET') socket.destroy();
    else farewell(socket, CODES[error.code ?? ''] ?? 'request_invalid');
  });
  server.on('connect', (_request, socket) => farewell(socket, 'method_not_allowed'));
  server.on('checkExpectation', application); // which refuses it
}

function farewell(socket: Duplex, code: ErrorCode): void {
  const requestId = randomUUID();
  const { status, retryable } = new VaultError(code);
  const text = problemText({ code }, requestId);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Connection: close',
    'Cache-Control: no-store',
    'Content-Type: application/problem+json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(text)}`,
    'X-Content-Type-Options: nosniff',
    `X-Request-Id: ${requestId}`,
    ...(retryable ? ['Retry-After: 1'] : []),
  ];
  const over = setTimeout(() => socket.destroy(), FAREWELL_MS);
  socket.once('close', () => clearTimeout(over)).on('error', () => undefined);
  socket.end(`${head.join('\r\n')}\r\n\r\n${text}`, () => (socket as Socket).destroySoon()); // every connection here is one
}

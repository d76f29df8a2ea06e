/** A witness over HTTP: `POST add-checkpoint` and `GET <SHA-256 of the origin>/checkpoint`. It needs no secrecy: what it takes and gives is signed. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { sha256Hex, utf8 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { type AnswerOptions, addCheckpoint, witnessedCheckpoint } from './answer.ts';
import { watchedLogs, witnessedHeads, witnessIdentity } from './folder.ts';

/** A checkpoint with its signatures and 63 hashes is far below. */
const MAX_REQUEST_BYTES = 65_536;
const REQUEST_MS = 10_000;

export interface ServingWitness {
  readonly port: number;
  stop(): Promise<void>;
}

export interface ServingOptions {
  readonly now?: () => Date;
  /** Why a request was answered 500. */
  readonly onFailure?: (error: unknown) => void;
}

/** The keys of logs are read at start: to watch another one, start again. Rejects when the folder is no witness or cannot remember. */
export async function serveWitness(
  folder: string,
  host: string,
  port: number,
  { now = () => new Date(), onFailure = () => undefined }: ServingOptions = {},
): Promise<ServingWitness> {
  const identity = witnessIdentity(folder);
  const options: AnswerOptions = { identity, logs: watchedLogs(folder), heads: witnessedHeads(folder, identity.key), now };
  const server = createServer({ maxHeaderSize: 8_192, headersTimeout: REQUEST_MS, requestTimeout: REQUEST_MS }, (request, response) => {
    answer(request, response, options).catch((error: unknown) => {
      if (error === request.errored) return; // the asker hung up: anyone may, as often as they like
      if (response.headersSent) response.destroy();
      else send(response, 500, 'nothing was cosigned\n'); // why, is between this witness and its disk
      onFailure(error);
    });
  });
  try {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve));
  } catch (cause) {
    options.heads.close();
    throw new VaultError('usage', `cannot listen: ${(cause as Error).message}`, { cause }); // listen rejects with an Error
  }
  return {
    port: (server.address() as AddressInfo).port, // listening on TCP: it has an address
    stop: () =>
      new Promise((resolve) => {
        server.close(() => {
          options.heads.close();
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

async function answer(request: IncomingMessage, response: ServerResponse, options: AnswerOptions): Promise<void> {
  const { method, url = '' } = request;
  if (url === '/add-checkpoint') {
    if (method !== 'POST') return send(response, 405, 'POST\n', { Allow: 'POST' });
    const body = await bounded(request);
    if (body === undefined) return send(response, 400, 'too large\n', { Connection: 'close' });
    const { status, type, body: text } = await addCheckpoint(body, options);
    return send(response, status, text, type === undefined ? {} : { 'Content-Type': type });
  }
  const [, origin] = /^\/([0-9a-f]{64})\/checkpoint$/.exec(url) ?? [];
  if (origin === undefined) return send(response, 404, 'there is nothing here\n');
  if (method !== 'GET') return send(response, 405, 'GET\n', { Allow: 'GET' });
  const checkpoint = witnessedCheckpoint(origin, options, (name) => sha256Hex(utf8(name)));
  return checkpoint === undefined
    ? send(response, 404, 'nothing of this log was cosigned\n')
    : send(response, 200, Buffer.from(checkpoint));
}

async function bounded(body: AsyncIterable<Buffer>): Promise<Uint8Array | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > MAX_REQUEST_BYTES) return undefined;
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

function send(response: ServerResponse, status: number, body: string | Buffer, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'Cache-Control': 'no-store', ...headers }).end(body);
}

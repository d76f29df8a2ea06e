/** An HTTPS server that answers reads as a test tells it, and a client for it. */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { DataClient, type GrantedRelease } from '../../src/agent/data-client.ts';
import { createHttpsClient } from '../../src/agent/https-client.ts';
import { issueSelfSigned } from '../../src/identity/certificates.ts';

export const ID = '01890000-0000-7000-8000-000000000000';
export type Answer = (request: IncomingMessage, response: ServerResponse) => unknown;

export interface ScriptedVault {
  readonly client: DataClient;
  answer: Answer;
  /** Ranges asked for, in order. */
  readonly asked: Array<{ readonly start: number; readonly end: number; readonly url: string }>;
  stop(): Promise<void>;
}

export async function startScriptedVault(): Promise<ScriptedVault> {
  const now = new Date();
  const [served, ours] = await Promise.all(
    ['a scripted vault', 'requester'].map((commonName) => issueSelfSigned({ commonName, days: 1, now, hosts: ['127.0.0.1'] })),
  );
  if (served === undefined || ours === undefined) throw new Error('no certificates');
  const asked: ScriptedVault['asked'] = [];
  let answer: Answer = (_request, response) => response.writeHead(500).end();
  const server = createServer(
    { cert: served.certificatePem, key: served.privateKeyPem, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      if (request.headers.range !== undefined) asked.push({ ...rangeOf(request), url: request.url ?? '' });
      answer(request, response);
    },
  );
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const https = createHttpsClient({
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ca: served.certificatePem,
    certificate: ours.certificatePem,
    privateKey: ours.privateKeyPem,
  });
  return {
    client: new DataClient(https, 'default', ours.privateKeyPem),
    asked,
    get answer() {
      return answer;
    },
    set answer(next) {
      answer = next;
    },
    async stop() {
      https.close();
      const closed = new Promise<void>((done) => server.close(() => done()));
      server.closeAllConnections();
      await closed;
    },
  };
}

export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** A release of these files, as the vault would have granted it. */
export function granted(files: Record<string, Buffer>, change: Partial<Record<keyof GrantedRelease, string>> = {}): GrantedRelease {
  const objects = Object.entries(files).map(([path, bytes]) => ({ path, size: bytes.length, sha256: sha256(bytes) }));
  return {
    releaseId: ID,
    expires: '',
    versionId: ID,
    versionDigest: 'd'.repeat(64),
    objects,
    recordId: ID,
    ...change,
  } as object as GrantedRelease;
}

export function rangeOf(request: IncomingMessage): { start: number; end: number } {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  return { start: Number(first), end: Number(last) + 1 };
}

/** Answers ranges of `bytes` honestly. */
export const serving =
  (bytes: Buffer): Answer =>
  (request, response) => {
    const { start, end } = rangeOf(request);
    response.writeHead(206).end(bytes.subarray(start, end));
  };

export const refusing =
  (code: string): Answer =>
  (_request, response) =>
    response.writeHead(403).end(JSON.stringify({ code }));

/** Sends the first `count` bytes of what was asked for, then breaks the connection. */
export const breakingAfter =
  (bytes: Buffer, count: number): Answer =>
  (request, response) => {
    const { start, end } = rangeOf(request);
    if (end - start <= count) return serving(bytes)(request, response);
    response.writeHead(206, { 'Content-Length': String(end - start) });
    // Both kernels have them before the connection breaks: what was sent, arrives.
    response.write(bytes.subarray(start, start + count), () => setTimeout(() => request.socket.destroy(), 100));
  };

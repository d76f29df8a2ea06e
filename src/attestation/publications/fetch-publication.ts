/** Reads a publication over https, or over http from this machine. The vault does so only for the addresses in its configuration, and never while somebody waits. */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { getCACertificates } from 'node:tls';
import type { Answer, FetchPublication } from './sources.ts';

/** The largest known is a RIM of 400 KiB, in base64. */
const MAX_BYTES = 1_048_576;
const DEADLINE_MS = 20_000;
const LOOPBACK = ['127.0.0.1', '[::1]'];

/** `ca`: PEM, the only authorities to believe; absent, the system's. Follows no redirect. */
export function createFetchPublication(ca?: string): FetchPublication {
  return (url) =>
    new Promise<Answer>((resolve, reject) => {
      const { protocol, hostname } = new URL(url);
      const plain = protocol === 'http:' && LOOPBACK.includes(hostname);
      if (protocol !== 'https:' && !plain) throw new Error('publications are read over https only');
      const common = { agent: false, signal: AbortSignal.timeout(DEADLINE_MS) } as const;
      const secure = { ...common, ca: ca ?? getCACertificates('system'), rejectUnauthorized: true, minVersion: 'TLSv1.2' } as const;
      const request = plain ? httpRequest(url, common) : httpsRequest(url, secure);
      request.once('error', reject);
      request.once('response', (response) => {
        readBounded(response).then(resolve, (error) => {
          request.destroy();
          reject(error);
        });
      });
      request.end();
    });
}

async function readBounded(response: IncomingMessage): Promise<Answer> {
  if (response.statusCode !== 200) throw new Error(`HTTP status ${response.statusCode}`);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BYTES) throw new Error(`larger than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  const headers = Object.fromEntries(Object.entries(response.headers).map(([name, value]) => [name, String(value)]));
  return { bytes: new Uint8Array(Buffer.concat(chunks)), headers };
}

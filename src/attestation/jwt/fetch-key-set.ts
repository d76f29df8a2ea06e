/** Reads a key set over https. Only when a trust anchor names its address. */
import { request as httpsRequest } from 'node:https';
import { getCACertificates } from 'node:tls';
import { DEFAULTS } from '../../domain/classes.ts';
import type { KeySetAddress } from './key-sets.ts';

/** Rejects when the answer is not 200, comes too late, is too large, or its certificate does not lead to `ca`. Follows no redirect. */
export function fetchKeySet({ url, ca }: KeySetAddress): Promise<Uint8Array> {
  if (!url.startsWith('https://')) return Promise.reject(new Error('a key set is read over https only'));
  return new Promise((resolve, reject) => {
    const request = httpsRequest(url, {
      agent: false,
      ca: ca ?? getCACertificates('system'),
      rejectUnauthorized: true, // whatever the environment says
      minVersion: 'TLSv1.2',
      headers: { Accept: 'application/json' },
      signal: AbortSignal.timeout(DEFAULTS.jwksDeadlineMs),
    });
    request.once('error', reject);
    request.once('response', (response) => {
      readBounded(response, response.statusCode).then(resolve, (error) => {
        request.destroy();
        reject(error);
      });
    });
    request.end();
  });
}

async function readBounded(body: AsyncIterable<Buffer>, status: number | undefined): Promise<Uint8Array> {
  if (status !== 200) throw new Error(`HTTP status ${status}`);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > DEFAULTS.jwksBytes) throw new Error(`larger than ${DEFAULTS.jwksBytes} bytes`);
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

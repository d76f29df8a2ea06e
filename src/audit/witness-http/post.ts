/** Hands a checkpoint to a witness over HTTP. What comes back is judged by audit/witnesses.ts; here it is only bounded. */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { getCACertificates } from 'node:tls';
import { DEFAULTS } from '../../domain/classes.ts';
import type { PostToWitness } from '../witnesses.ts';

/** A few signature lines, or a number. */
const MAX_ANSWER_BYTES = 65_536;

/**
 * Rejects when the answer is not whole by `witnessDeadlineMs`, or is too large. Follows no redirect. Plain HTTP is for a network of one's own: what
 * counts is signed, and what is sent tells the log's name, size and root, nothing of its records.
 */
export const postToWitness: PostToWitness = (url, body) => {
  const target = new URL('add-checkpoint', url.endsWith('/') ? url : `${url}/`);
  return post(target, body, AbortSignal.timeout(DEFAULTS.witnessDeadlineMs), true);
};

/**
 * `again`: once, on a new connection, when the one that was taken up had been closed while it lay idle. The witness may have heard it: then it says
 * 409 and where it is, which is no harm (https://c2sp.org/tlog-witness).
 */
function post(target: URL, body: Uint8Array, signal: AbortSignal, again: boolean): ReturnType<PostToWitness> {
  const options = {
    method: 'POST',
    headers: { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': String(body.length) },
    signal,
    ...(!again && { agent: false as const }),
  };
  return new Promise((resolve, reject) => {
    const request =
      target.protocol === 'https:'
        ? httpsRequest(target, { ...options, ca: getCACertificates('system'), rejectUnauthorized: true, minVersion: 'TLSv1.2' })
        : httpRequest(target, options);
    request.once('error', (error) => {
      if (request.reusedSocket && again && !signal.aborted) post(target, body, signal, false).then(resolve, reject);
      else reject(error);
    });
    request.once('response', (response) => {
      readBounded(response).then(
        (bytes) => resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', body: bytes }),
        (error) => {
          request.destroy();
          reject(error);
        },
      );
    });
    request.end(body);
  });
}

async function readBounded(body: AsyncIterable<Buffer>): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`larger than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

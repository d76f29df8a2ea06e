/**
 * Quotes for TDREPORTs, from the service that Azure has in front of its quoting enclaves (POST of `{"report": base64url}`, answer `{"quote": base64url}`;
 * Azure's "confidential VM guest attestation" sample code). Link-local: the machine asks its own host, and nothing secret is said.
 */
import { request } from 'node:http';
import { orUndefined } from '../x509/der.ts';
import { readQuotedReport, readQuoteSignature, withoutPadding } from './quote.ts';

export const AZURE_QUOTES = 'http://169.254.169.254/acc/tdquote';
const DEADLINE_MS = 20_000;
/** A quote of 8 KiB in base64, twice. */
const MAX_ANSWER_BYTES = 32_768;

/** Resolves with a quote that ends where it ends. Rejects with what the service said instead. */
export async function fetchAzureQuote(tdReport: Uint8Array, url: string = AZURE_QUOTES): Promise<Uint8Array> {
  const answer: unknown = JSON.parse(await post(url, JSON.stringify({ report: Buffer.from(tdReport).toString('base64url') })));
  const text = typeof answer === 'object' && answer !== null && 'quote' in answer ? answer.quote : undefined;
  const quote = typeof text === 'string' ? withoutPadding(new Uint8Array(Buffer.from(text, 'base64url'))) : undefined;
  if (quote === undefined || orUndefined(() => readQuoteSignature(quote, readQuotedReport(quote))) === undefined) {
    throw new Error(`${url} answered without a TDX quote`);
  }
  return quote;
}

function post(url: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json', Metadata: 'true', 'Content-Length': Buffer.byteLength(body) };
    const asked = request(url, { method: 'POST', agent: false, headers, signal: AbortSignal.timeout(DEADLINE_MS) });
    asked.once('error', reject);
    asked.once('response', (response) => {
      readBounded(response, response.statusCode).then(resolve, (error) => {
        asked.destroy();
        reject(error);
      });
    });
    asked.end(body);
  });
}

async function readBounded(body: AsyncIterable<Buffer>, status: number | undefined): Promise<string> {
  if (status !== 200) throw new Error(`HTTP status ${status}`);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`larger than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * A signed POST, by the Standard Webhooks specification 1.0 (HMAC-SHA-256 over id, time and body), so that receivers have libraries for it. The
 * receiver refuses what is older than five minutes, and knows a repeated delivery by its id.
 */
import { createHmac } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { VaultError } from '../../domain/errors.ts';
import { deliveryFailure, type TlsTarget, tlsOptions } from './tls-target.ts';

export interface WebhookTarget extends TlsTarget {
  /** Path and query of the URL. */
  readonly path: string;
  /** 24 to 64 random bytes. */
  readonly secret: Uint8Array;
}

export interface WebhookMessage {
  /** The same for every try of the same delivery. No dot. */
  readonly id: string;
  readonly contentType: string;
  readonly body: Uint8Array;
}

/** `v1,` and base64 HMAC-SHA-256(secret, id ‖ "." ‖ seconds ‖ "." ‖ body). */
export function webhookSignature(secret: Uint8Array, id: string, seconds: number, body: Uint8Array): string {
  return `v1,${createHmac('sha256', secret).update(`${id}.${seconds}.`).update(body).digest('base64')}`;
}

/**
 * Resolves when the receiver answered 2xx. Rejects `sink_refused` for every other answer, a redirect among them: nothing is sent to a host that
 * nobody named; `sink_untrusted`; `sink_unreachable`, also when `signal` aborts. The answer's body is not read.
 */
export async function postWebhook(target: WebhookTarget, message: WebhookMessage, now: Date, signal: AbortSignal): Promise<void> {
  const { id, contentType, body } = message;
  const seconds = Math.floor(now.getTime() / 1000);
  const headers = {
    'Content-Type': contentType,
    'Content-Length': body.length,
    'webhook-id': id,
    'webhook-timestamp': String(seconds),
    'webhook-signature': webhookSignature(target.secret, id, seconds, body),
  };
  try {
    await post(target, headers, body, signal);
  } catch (error) {
    throw deliveryFailure(error, target);
  }
}

function post(target: WebhookTarget, headers: Record<string, string | number>, body: Uint8Array, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    // No agent: a connection per delivery, so that a certificate is looked at each time.
    const request = httpsRequest({ ...tlsOptions(target), method: 'POST', path: target.path, headers, signal, agent: false });
    request.once('error', reject);
    request.once('response', (response: IncomingMessage) => {
      const { statusCode = 0 } = response;
      response.destroy();
      if (statusCode >= 200 && statusCode < 300) resolve();
      else reject(new VaultError('sink_refused', `${target.host} answered ${statusCode}`));
    });
    request.end(body);
  });
}

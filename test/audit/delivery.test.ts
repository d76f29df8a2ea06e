import { createServer as createHttps } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { createServer as createTls } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import { frameSyslog, sendSyslog } from '../../src/audit/delivery/syslog-tls.ts';
import { postWebhook, type WebhookTarget } from '../../src/audit/delivery/webhook.ts';
import { utf8 } from '../../src/domain/bytes.ts';
import { codeOf } from '../../src/domain/errors.ts';
import { type ReceiverCertificates, receiverCertificates } from './receiver-certificates.ts';

const secret = new Uint8Array(32).fill(7);
const message = { id: 'alert-1', contentType: 'application/json', body: utf8('{"rule":"A08"}') };
let certificates: ReceiverCertificates;
const servers: Server[] = [];

beforeAll(async () => {
  certificates = await receiverCertificates();
});
afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
});

async function listening(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port; // a TCP server has one
}

const patiently = () => AbortSignal.timeout(60_000);
const outcome = (sent: Promise<void>) => sent.then(() => 'sent', codeOf);

interface Received {
  readonly headers: Record<string, string>;
  readonly body: string;
}

async function webhookReceiver(status: number, { kind = 'good' as 'good' | 'expired' | 'otherName', headers = {} } = {}) {
  const received: Received[] = [];
  const port = await listening(
    createHttps(certificates[kind], async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      received.push({ headers: request.headers as Record<string, string>, body });
      response.writeHead(status, headers).end();
    }),
  );
  const target: WebhookTarget = { host: 'localhost', port, path: '/hook', ca: certificates.ca, secret };
  return { target, received };
}

describe('a signed webhook', () => {
  it('is believed by a receiver nobody here wrote, for five minutes and as it is', async () => {
    const { target, received } = await webhookReceiver(204);
    await postWebhook(target, message, new Date(), patiently());
    const [{ headers, body } = { headers: {}, body: '' }] = received;
    const receiver = new Webhook(Buffer.from(secret).toString('base64'));
    expect(receiver.verify(body, headers)).toEqual({ rule: 'A08' });
    expect(() => receiver.verify(body.replace('A08', 'A01'), headers)).toThrow(WebhookVerificationError);
    expect(() => new Webhook(Buffer.alloc(32).toString('base64')).verify(body, headers)).toThrow(WebhookVerificationError);
    await postWebhook(target, message, new Date(Date.now() - 301_000), patiently());
    expect(() => receiver.verify(received[1]?.body ?? '', received[1]?.headers ?? {})).toThrow('too old');
  });

  it('fails when the answer is not 2xx, and follows no redirect', async () => {
    const elsewhere = await webhookReceiver(204);
    const { port } = elsewhere.target;
    for (const [status, headers] of [
      [302, { location: `https://localhost:${port}/` }],
      [307, { location: `https://localhost:${port}/` }],
      [400, {}],
      [503, {}],
    ] as const) {
      const { target } = await webhookReceiver(status, { headers });
      expect(await outcome(postWebhook(target, message, new Date(), patiently()))).toBe('sink_refused');
    }
    expect(elsewhere.received).toEqual([]);
  });

  it.each(['expired', 'otherName'] as const)('sends nothing to a receiver with a certificate that is not valid: %s', async (kind) => {
    const { target, received } = await webhookReceiver(204, { kind });
    expect(await outcome(postWebhook(target, message, new Date(), patiently()))).toBe('sink_untrusted');
    expect(received).toEqual([]);
    const { ca, ...withoutAuthority } = (await webhookReceiver(204)).target;
    expect(ca).toBeDefined();
    expect(await outcome(postWebhook(withoutAuthority, message, new Date(), patiently()))).toBe('sink_untrusted');
  });

  it('waits for a receiver that hangs as long as it was told, and for one that is not there not at all', async () => {
    const port = await listening(createHttps(certificates.good, () => undefined));
    const target = { host: 'localhost', port, path: '/', ca: certificates.ca, secret };
    expect(await outcome(postWebhook(target, message, new Date(), AbortSignal.timeout(100)))).toBe('sink_unreachable');
    const gone = { ...target, port: 1 };
    expect(await outcome(postWebhook(gone, message, new Date(), patiently()))).toBe('sink_unreachable');
  });
});

describe('syslog over TLS', () => {
  it('frames each message with its length in bytes, and knows that all were read', async () => {
    let read = '';
    const port = await listening(
      createTls({ ...certificates.good, allowHalfOpen: true }, (socket) => {
        socket.on('data', (chunk) => {
          read += chunk;
        });
        socket.on('end', () => socket.end());
      }),
    );
    await sendSyslog({ host: 'localhost', port, ca: certificates.ca }, [utf8('<110>1 é'), utf8('<110>1 b')], patiently());
    expect(read).toBe('9 <110>1 é8 <110>1 b');
    expect(Buffer.from(frameSyslog(utf8(''))).toString()).toBe('0 ');
  });

  it.each(['expired', 'otherName'] as const)('sends nothing to a receiver with a certificate that is not valid: %s', async (kind) => {
    let read = '';
    const port = await listening(
      createTls(certificates[kind], (socket) =>
        socket
          .on('error', () => undefined)
          .on('data', (chunk) => {
            read += chunk;
          }),
      ),
    );
    const sent = sendSyslog({ host: 'localhost', port, ca: certificates.ca }, [utf8('secret')], patiently());
    expect(await outcome(sent)).toBe('sink_untrusted');
    expect(read).toBe('');
  });

  it('is not sure of a receiver that hangs, hangs up or is not there', async () => {
    const hangs = await listening(
      createTls({ ...certificates.good, allowHalfOpen: true }, (socket) => socket.on('error', () => undefined).resume()),
    );
    const target = { host: 'localhost', port: hangs, ca: certificates.ca };
    expect(await outcome(sendSyslog(target, [utf8('a')], AbortSignal.timeout(200)))).toBe('sink_unreachable');
    const hangsUp = await listening(createTls(certificates.good, (socket) => socket.on('error', () => undefined).destroy()));
    expect(await outcome(sendSyslog({ ...target, port: hangsUp }, [new Uint8Array(4_000_000)], patiently()))).toBe('sink_unreachable');
    expect(await outcome(sendSyslog({ ...target, port: 1 }, [utf8('a')], patiently()))).toBe('sink_unreachable');
    expect(await outcome(sendSyslog(target, [utf8('a')], AbortSignal.abort()))).toBe('sink_unreachable');
  });
});

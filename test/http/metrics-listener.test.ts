import { request } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseConfig } from '../../src/config/config.ts';
import type { Listening } from '../../src/http/listener.ts';
import { listenForMetrics } from '../../src/http/metrics-listener.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';

const metrics = createMetrics();
const errors: string[] = [];
const log = { info: () => undefined, warn: () => undefined, error: (message: string) => errors.push(message) };
let listening: Listening;

beforeAll(async () => {
  metrics.bytesSent(42);
  listening = await listenForMetrics({ host: '127.0.0.1', port: 0 }, metrics, log);
});
afterAll(() => listening.close(0));

function ask(path: string, method = 'GET'): Promise<{ status: number; type: string; body: string }> {
  return new Promise((done, fail) => {
    request({ host: '127.0.0.1', port: listening.port, path, method, agent: false }, async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      done({
        status: response.statusCode ?? 0,
        type: String(response.headers['content-type'] ?? ''),
        body: Buffer.concat(chunks).toString('utf8'),
      });
    })
      .once('error', fail)
      .end();
  });
}

describe('the listener for a scraper', () => {
  test('serves the figures', async () => {
    const { status, type, body } = await ask('/metrics');
    expect([status, type]).toEqual([200, metrics.contentType]);
    expect(body).toContain('weight_vault_plaintext_bytes_total 42');
  });

  test('serves nothing else', async () => {
    for (const path of ['/', '/metrics/', '/metrics?x', '/v1/session', '/v1/health/ready', '//metrics']) {
      expect([path, (await ask(path)).status]).toEqual([path, 404]);
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
      expect([method, (await ask('/metrics', method)).status]).toEqual([method, 405]);
  });

  test('survives what is no HTTP', async () => {
    for (const bytes of ['\0\0\0\r\n\r\n', `GET /metrics HTTP/1.1\r\nHost: x\r\nX-Large: ${'a'.repeat(20_000)}\r\n\r\n`]) {
      await new Promise<void>((done) => {
        const socket = connect(listening.port, '127.0.0.1', () => socket.write(bytes));
        socket
          .resume()
          .on('error', () => undefined)
          .on('close', () => done());
      });
    }
    expect((await ask('/metrics')).status).toBe(200);
  });

  test('says 500 and logs why when the figures cannot be gathered, and goes on', async () => {
    const broken = await listenForMetrics(
      { host: '127.0.0.1', port: 0 },
      { ...metrics, text: () => Promise.reject(new Error('secret cause')) },
      log,
    );
    const answer = await new Promise<[number | undefined, number]>((done) => {
      request({ host: '127.0.0.1', port: broken.port, path: '/metrics', agent: false }, (response) => {
        let bytes = 0;
        response.on('data', (piece: Buffer) => (bytes += piece.length)).on('end', () => done([response.statusCode, bytes]));
      }).end();
    });
    await broken.close(0);
    expect(answer).toEqual([500, 0]);
    expect(errors).toEqual(['the figures could not be gathered']);
  });
});

describe('metricsPlane', () => {
  const plane = { host: '0.0.0.0', port: 8443, certificate: 'a', privateKey: 'b' };
  const file = (metricsPlane?: unknown) =>
    JSON.stringify({
      vaultId: '01890000-0000-7000-8000-000000000000',
      vaultDocument: 'a'.repeat(64),
      database: 'vault.db',
      blobs: 'blobs',
      token: { module: 'm', label: 'l', pinFile: 'p' },
      keeperSocket: 'keeper.sock',
      dataPlane: plane,
      adminPlane: { ...plane, port: 8444 },
      ...(metricsPlane !== undefined && { metricsPlane }),
    });

  test('says which port is taken, as a setting that is wrong', async () => {
    const taken = listenForMetrics({ host: '127.0.0.1', port: listening.port }, metrics, log);
    await expect(taken).rejects.toMatchObject({ code: 'configuration_invalid', detail: expect.stringContaining(`:${listening.port}`) });
  });

  test('is off unless it is set', () => {
    expect(parseConfig(file(), '.').metricsPlane).toBeUndefined();
  });

  test.each(['127.0.0.1', '127.1.2.3', '::1'])('may listen on %s', (host) => {
    expect(parseConfig(file({ host, port: 9464 }), '.').metricsPlane).toEqual({ host, port: 9464 });
  });

  test.each([
    ['every address', { host: '0.0.0.0', port: 9464 }],
    ['every address, version 6', { host: '::', port: 9464 }],
    ['an address of the network', { host: '192.0.2.1', port: 9464 }],
    ['a name, which can mean anything', { host: 'localhost', port: 9464 }],
    ['a name that looks like an address', { host: '127.0.0.1.example.org', port: 9464 }],
    ['no address', { host: '127.0.0.999', port: 9464 }],
    ['an IPv4 address in IPv6', { host: '::ffff:192.0.2.1', port: 9464 }],
    ['nothing', { host: '', port: 9464 }],
    ['no port', { host: '127.0.0.1' }],
    ['a port that is none', { host: '127.0.0.1', port: 65_536 }],
    ['something unknown', { host: '127.0.0.1', port: 9464, path: '/x' }],
  ])('refuses %s, and names the setting', (_what, metricsPlane) => {
    expect(() => parseConfig(file(metricsPlane), '.')).toThrow(
      expect.objectContaining({ code: 'configuration_invalid', detail: expect.stringContaining('metricsPlane') }),
    );
  });
});

/** Connections that are kept, and when they are not. */
import { execFile } from 'node:child_process';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createHttpsClient, type HttpsClient } from '../../src/agent/https-client.ts';
import { issueSelfSigned } from '../../src/identity/certificates.ts';

let server: Server;
let client: HttpsClient;
let connections = 0;
let heard = 0;

beforeAll(async () => {
  const certificate = await issueSelfSigned({ commonName: 'a server', days: 1, now: new Date(), hosts: ['127.0.0.1'] });
  const key = { cert: certificate.certificatePem, key: certificate.privateKeyPem };
  server = createServer(key, (request, response) => {
    heard++;
    request.resume().on('end', () => response.end('{}'));
  });
  server.on('secureConnection', () => connections++);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  client = createHttpsClient({
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ca: certificate.certificatePem,
    certificate: certificate.certificatePem,
    privateKey: certificate.privateKeyPem,
  });
});
afterAll(async () => {
  client.close();
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
});

test('requests one after another share a connection', async () => {
  for (let n = 0; n < 20; n++) expect(await client.json('POST', '/', { n })).toEqual({});
  expect(connections).toBeLessThan(20); // one, unless this process stood still
});

test('a process that stood still for longer than the server keeps a connection asks on a new one', async () => {
  await client.json('POST', '/', {});
  // Nobody's timers run meanwhile; when they do, the server closes what it takes for idle, with our request in it.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, server.keepAliveTimeout + 1500);
  expect(await client.json('POST', '/', {})).toEqual({});
});

test('the pinned certificate counts, whatever NODE_TLS_REJECT_UNAUTHORIZED says', async () => {
  const impostor = await issueSelfSigned({ commonName: 'another server', days: 1, now: new Date(), hosts: ['127.0.0.1'] });
  const { port } = server.address() as AddressInfo;
  const options = {
    url: `https://127.0.0.1:${port}`,
    ca: impostor.certificatePem, // what was pinned is not what answers
    certificate: impostor.certificatePem,
    privateKey: impostor.privateKeyPem,
  };
  const before = heard;
  // Node reads the variable of the real process when it connects, and Jest's `process.env` is a copy.
  const script = `
    import { createHttpsClient } from ${JSON.stringify(new URL('../../src/agent/https-client.ts', import.meta.url).href)};
    const client = createHttpsClient(${JSON.stringify(options)});
    console.log(await client.json('POST', '/', {}).then(() => 'answered', (error) => error.code));
    client.close();`;
  const env = { ...process.env, NODE_TLS_REJECT_UNAUTHORIZED: '0' };
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], { env });
  expect(stdout.trim()).not.toBe('answered');
  expect(heard).toBe(before);
});

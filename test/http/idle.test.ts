/** A kept connection ends when it is idle, and not when its next request waits to be read. */
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { closeIdle } from '../../src/http/idle.ts';
import { issueSelfSigned } from '../../src/identity/certificates.ts';
import { until } from '../e2e/patience.ts';

let server: Server;
let socket: TLSSocket;
let heard = '';
let closed = false;

beforeAll(async () => {
  const { certificatePem: cert, privateKeyPem: key } = await issueSelfSigned({
    commonName: 'vault',
    days: 1,
    now: new Date(),
    hosts: ['127.0.0.1'],
  });
  server = createServer({ cert, key, keepAliveTimeout: 500 }, (request, response) => response.end(`heard ${request.url}\n`));
  closeIdle(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  socket = connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, ca: cert });
  socket.on('data', (piece) => (heard += piece)).on('close', () => (closed = true));
});
afterAll(() => void server.close());

const ask = (path: string) => socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);

test('a request that came while this process stood still, for longer than a connection is kept, is answered', async () => {
  ask('/first');
  expect(await until(() => heard.includes('heard /first'))).toBe(true);
  await new Promise((done) => setImmediate(done)); // what stands still there runs its timers before it reads
  ask('/second'); // in the kernel's buffer, and nobody reads it
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, server.keepAliveTimeout + 1_500); // Node adds a second
  expect(await until(() => closed || heard.includes('heard /second'))).toBe(true);
  expect(heard).toContain('heard /second');
});

test('one on which nothing comes is closed', async () => {
  expect(await until(() => closed)).toBe(true);
});

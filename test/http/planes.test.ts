/** Both planes from outside, as an attacker or a broken client sees them. One real vault for all tests (test/e2e/real-vault.ts). */
import { randomBytes, randomInt } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { connect as tcpConnect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { isErrorCode } from '../../src/domain/errors.ts';
import { adminPlaneRoutes } from '../../src/http/admin-plane/routes.ts';
import { dataPlaneRoutes } from '../../src/http/data-plane/routes.ts';
import type { Vault } from '../../src/vault/vault.ts';
import { cannotJustNow, promptly } from '../e2e/patience.ts';
import {
  collectSlowly,
  EMPTY,
  LARGE,
  NESTED,
  newRelease,
  type RealVault,
  startRealVault,
  unlessItStoodStill,
  until,
  withRequester,
} from '../e2e/real-vault.ts';

const ID = '01890000-0000-7000-8000-000000000000';
let vault: RealVault;
let machine: string;
let releaseId: string;
/** Nonsense may hit by chance: end this release, block that machine. Nothing else here needs them. */
let spareRelease: string;
let dawdling: ReturnType<typeof dawdle>[];
const SPARE_MACHINE = 'gpu-node-2';
const planes = { data: 0, admin: 0 };
type Plane = keyof typeof planes;
const PLANES: Plane[] = ['data', 'admin'];

beforeAll(async () => {
  vault = await startRealVault();
  machine = await vault.enrolled('gpu-node-1');
  await vault.promote();
  planes.data = vault.server.dataPort;
  planes.admin = vault.server.adminPort;
  await vault.enrolled(SPARE_MACHINE);
  releaseId = await withRequester(machine, async (one) => (await newRelease(one, vault.versionId)).releaseId);
  dawdling = PLANES.map(dawdle);
  spareRelease = await withRequester(machine, async (one) => (await newRelease(one, vault.versionId)).releaseId);
});
afterAll(() => vault?.stop());
afterAll(() => agents.forEach((agent) => void agent.destroy()));

const text = (...path: string[]) => readFileSync(join(...path), 'utf8');
/** A client that each plane knows: the enrolled machine, and alice's workstation. */
function tls(plane: Plane, certificate = true): ConnectionOptions {
  const [folder, cert, key] =
    plane === 'data' ? [machine, 'tls.crt', 'tls.key'] : [vault.kit('alice'), 'workstation.crt', 'workstation.key'];
  const ca = text(vault.folder, 'tls', `${plane}.crt`);
  return { host: '127.0.0.1', port: planes[plane], ca, ...(certificate && { cert: text(folder, cert), key: text(folder, key) }) };
}

/** Connections that say nothing, or not enough. They wait ten seconds, so they begin before everything else here. */
async function dawdle(plane: Plane) {
  const startedAt = performance.now();
  const silent = new Promise<void>((done) =>
    tcpConnect(planes[plane], '127.0.0.1')
      .on('close', () => done())
      .on('error', () => {})
      .resume(),
  );
  const route = plane === 'data' ? '/v1/namespaces/default/releases' : '/v1/session';
  const asked = [
    raw(plane, 'GET / HTTP/1.1\r\nHost: x\r\nX-Slow: '),
    raw(plane, `POST ${route} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{`),
  ];
  const [slow = '', late = ''] = await Promise.all(asked);
  await silent;
  return { plane, slow, late, milliseconds: performance.now() - startedAt };
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly code: string | undefined;
}
interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  readonly certificate?: boolean;
}
const agents: Agent[] = [];
const agentOf = new Map<string, Agent>();

/** One request, patiently; the path goes out exactly as it stands here. */
async function ask(plane: Plane, path: string, asking: Asked = {}): Promise<Answer> {
  for (let again = 10; ; again--) {
    const answer = await askOnce(plane, path, asking);
    const withoutBody = asking.method === 'HEAD' && answer.status === 503;
    if (again === 0 || !(withoutBody || cannotJustNow(answer.code))) return answer;
  }
}

function askOnce(plane: Plane, path: string, asking: Asked, again = true): Promise<Answer> {
  const { method = 'GET', headers = {}, body, certificate = true } = asking;
  const agent = agentFor(plane, certificate);
  return new Promise((done, fail) => {
    const asked = request({ agent, host: '127.0.0.1', port: planes[plane], method, path, headers }, async (response) => {
      done(await answerOf(response).catch((error) => fail(error) as never));
    });
    // An idle connection may be closed while it is taken up again: nothing was asked then. The other idle ones are no better.
    asked.once('error', (error) => {
      if (!asked.reusedSocket || !again) return fail(error);
      if (agentOf.get(nameOf(plane, certificate)) === agent) agentOf.delete(nameOf(plane, certificate));
      askOnce(plane, path, asking, false).then(done, fail);
    });
    asked.end(body);
  });
}

const nameOf = (plane: Plane, certificate: boolean) => `${plane} ${certificate}`;

function agentFor(plane: Plane, certificate: boolean): Agent {
  const known = agentOf.get(nameOf(plane, certificate));
  if (known !== undefined) return known;
  const agent = new Agent({ keepAlive: true, maxCachedSessions: 0, ...tls(plane, certificate) });
  agents.push(agent);
  agentOf.set(nameOf(plane, certificate), agent);
  return agent;
}

async function answerOf(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const problem = response.headers['content-type']?.startsWith('application/problem+json') && body.length > 0;
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body,
    code: problem ? JSON.parse(body.toString()).code : undefined,
  };
}

/** Bytes on a TLS connection, and everything that comes back until it is closed. Patiently. */
async function raw(plane: Plane, bytes: string): Promise<string> {
  for (let again = 10; ; again--) {
    const got = await rawOnce(plane, bytes);
    if (again === 0 || !cannotJustNow(/"code":"([a-z_]+)"/.exec(got)?.[1])) return got;
  }
}

function rawOnce(plane: Plane, bytes: string): Promise<string> {
  return new Promise((done) => {
    const socket = connect(tls(plane), () => socket.write(bytes));
    let got = '';
    const end = () => done(got);
    const timer = setTimeout(() => socket.destroy(), 60_000);
    socket.on('data', (piece) => {
      got += piece.toString('latin1');
    });
    socket.on('error', end).on('close', () => {
      clearTimeout(timer);
      end();
    });
  });
}

/** Status and code of the one problem that came back, whole and with nothing behind it. */
function problemIn(got: string): [status: number, code: unknown] {
  const [head = '', body = '', ...more] = got.split('\r\n\r\n');
  expect([more, head]).toEqual([[], expect.stringMatching(/\r\ncontent-type: application\/problem\+json/i)]);
  const { status, code, requestId } = JSON.parse(body);
  expect([head.toLowerCase().includes(`x-request-id: ${requestId}`), head.startsWith(`HTTP/1.1 ${status} `)]).toEqual([true, true]);
  return [status, code];
}

const object = (path: string) => `/v1/namespaces/default/releases/${releaseId}/objects/${path}`;
const session = () => ({ Authorization: `Bearer ${text(vault.kit('alice'), 'session').trim()}` });
const nobody = {} as Vault; // a route table is read here, never served
const routesOf = (plane: Plane) => (plane === 'data' ? dataPlaneRoutes(nobody) : adminPlaneRoutes(nobody));
const example = (path: string) =>
  path
    .replace(/:(?:version|release|request)\b/g, ID)
    .replace(':slot', 'policy-set')
    .replace(/:\w+/g, 'default')
    .replace(/\*\w+/, 'a/b');

describe.each(PLANES)('TLS on the %s plane', (plane) => {
  test('refuses TLS 1.2', async () => {
    const refused = await new Promise<string>((done) => {
      const socket = connect({ ...tls(plane), minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }, () => done('connected'));
      socket.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? 'error'));
    });
    expect(refused).toMatch(/PROTOCOL_VERSION|ECONNRESET/);
  });

  test('resumes no session: the key is proved on every connection', async () => {
    const sessions: Buffer[] = [];
    const open = (session?: Buffer) =>
      new Promise<boolean>((done, fail) => {
        const socket: TLSSocket = connect({ ...tls(plane), ...(session && { session }) }, () => {
          socket.write('GET /none HTTP/1.1\r\nHost: x\r\n\r\n'); // tickets arrive with the first answer
        });
        socket.on('session', (saved) => sessions.push(saved));
        socket.once('error', fail);
        socket.once('data', () => {
          const reused = socket.isSessionReused();
          setTimeout(() => done(reused), 100); // a ticket may follow the answer
        });
      });
    expect(await open()).toBe(false);
    expect(sessions.length).toBeLessThanOrEqual(2);
    for (const saved of [...sessions]) expect(await open(saved)).toBe(false);
  });
});

describe('planes share nothing', () => {
  test.each(PLANES)('every route of the other plane is unknown on the %s plane', async (plane) => {
    const other = plane === 'data' ? 'admin' : 'data';
    for (const { method, path, caller } of routesOf(other)) {
      if (caller === 'anyone') continue; // health and the description stand on both
      const answer = await ask(plane, example(path), { method: method.toUpperCase(), headers: session() });
      expect([path, answer.status, answer.code]).toEqual([path, 404, 'route_unknown']);
    }
  });

  test('no client certificate is 401 on every route', async () => {
    for (const plane of PLANES) {
      for (const { method, path, caller } of routesOf(plane)) {
        if (caller === 'anyone') continue;
        const answer = await ask(plane, example(path), { method: method.toUpperCase(), certificate: false });
        expect([method, path, answer.status, answer.code]).toEqual([method, path, 401, 'client_certificate_missing']);
      }
    }
  });

  test('every admin route without a session, with a wrong one, or with a session from elsewhere, is refused', async () => {
    const wrong = { Authorization: `Bearer ${'A'.repeat(43)}` };
    const bob = { Authorization: `Bearer ${text(vault.kit('bob'), 'session').trim()}` };
    for (const { method, path, caller } of routesOf('admin')) {
      if (caller !== 'session') continue;
      const asked = (headers: Record<string, string>) => ask('admin', example(path), { method: method.toUpperCase(), headers });
      const codes = [await asked({}), await asked(wrong), await asked({ Authorization: 'Basic YTpi' }), await asked(bob)].map(
        (one) => one.code,
      );
      expect([path, ...codes]).toEqual([path, 'session_missing', 'session_missing', 'session_missing', 'workstation_unknown']);
    }
  });
});

describe('answers', () => {
  test.each(PLANES)('a problem of the %s plane has its form, security headers, and an id that is ours', async (plane) => {
    const { status, headers, body } = await ask(plane, '/v1/nothing', { headers: { 'X-Request-Id': 'the-clients-own' } });
    expect(status).toBe(404);
    const requestId = headers['x-request-id'];
    expect(requestId).toMatch(/^[0-9a-f-]{36}$/);
    expect(JSON.parse(body.toString())).toEqual({
      type: 'urn:weight-vault:error:route_unknown',
      title: expect.any(String),
      status: 404,
      code: 'route_unknown',
      requestId,
    });
    expect(headers).toMatchObject({
      'content-type': expect.stringMatching(/^application\/problem\+json/),
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none';frame-ancestors 'none'",
      'strict-transport-security': expect.stringContaining('max-age='),
      'x-content-type-options': 'nosniff',
    });
    expect(headers).not.toHaveProperty('x-powered-by');
    expect(headers).not.toHaveProperty('server');
  });

  test('other methods are refused, and OPTIONS and TRACE tell nothing', async () => {
    for (const method of ['PUT', 'PATCH', 'OPTIONS', 'TRACE', 'HEAD', 'GET']) {
      const answer = await ask('data', '/v1/challenges', { method });
      expect([method, answer.status, answer.headers['allow']]).toEqual([method, 405, undefined]);
    }
  });
});

describe('bodies', () => {
  const releases = '/v1/namespaces/default/releases';
  const good = { model: 'm', version: ID, evidence: [] };
  const post = (body: string | Buffer, headers: Record<string, string> = {}) => ask('data', releases, { method: 'POST', body, headers });
  const login = (body: string | Buffer, headers: Record<string, string> = {}) =>
    ask('admin', '/v1/session', { method: 'POST', body, headers });

  test('larger than the route accepts', async () => {
    expect(await login(Buffer.alloc(262_145, 32))).toMatchObject({ status: 413, code: 'request_too_large' });
    expect(await post(Buffer.alloc(2_097_153, 32))).toMatchObject({ status: 413, code: 'request_too_large' });
    const undeclared = { 'Transfer-Encoding': 'chunked' };
    expect(await login(Buffer.alloc(300_000, 32), undeclared)).toMatchObject({ status: 413, code: 'request_too_large' });
  });

  test.each([
    ['nothing', ''],
    ['not JSON', '{'],
    ['JSON that is no object', '[]'],
    ['null', 'null'],
    ['too deep', `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
    ['deep where any member is allowed', JSON.stringify(good).replace('[]', `[{"kind":"tpm2","x":${'['.repeat(40)}${']'.repeat(40)}}]`)],
    ['an unknown member', JSON.stringify({ ...good, admin: true })],
    ['a member of another type', JSON.stringify({ ...good, model: { $ne: '' } })],
    ['__proto__', `{"__proto__":{"model":"m"},"version":"${ID}","evidence":[]}`],
    ['a delivery we do not have', JSON.stringify({ ...good, delivery: 'sealed' })],
    ['too many pieces of evidence', JSON.stringify({ ...good, evidence: Array(9).fill({ kind: 'tpm2' }) })],
    ['an id that is none', JSON.stringify({ ...good, version: '../../etc' })],
    ['bytes that are no UTF-8', Buffer.from([0x7b, 0xff, 0xfe, 0x7d])],
    ['a byte order mark', `\ufeff${JSON.stringify(good)}`],
  ])('%s is request_invalid', async (_what, body) => {
    expect(await post(body)).toMatchObject({ status: 400, code: 'request_invalid' });
  });

  test('compressed', async () => {
    const squeezed = gzipSync(JSON.stringify(good));
    for (const encoding of ['gzip', 'deflate', 'br', 'zstd', 'x-unknown']) {
      expect((await post(squeezed, { 'Content-Encoding': encoding })).status).toBe(400);
    }
    expect((await post(gzipSync(Buffer.alloc(50_000_000)), { 'Content-Encoding': 'gzip' })).status).toBe(400);
  });

  test('a document slot that does not exist is a 4xx, for someone with a session too', async () => {
    for (const slot of ['vault', 'administrator', 'x', '..', '__proto__']) {
      const { status } = await ask('admin', `/v1/namespaces/default/documents/${slot}`, { headers: session() });
      expect([slot, status >= 400 && status < 500]).toEqual([slot, true]);
    }
  });
});

describe('paths', () => {
  const objects = () => `/v1/namespaces/default/releases/${releaseId}/objects`;

  test.each([
    ['dots', '../objects/config.json'],
    ['encoded dots', '%2e%2e/objects/config.json'],
    ['encoded dots and slash', '..%2f..%2fconfig.json'],
    ['dots encoded twice', '%252e%252e%252fconfig.json'],
    ['a dot', './config.json'],
    ['an empty part', '/config.json'],
    ['a slash at the end', 'config.json/'],
    ['NUL', 'config.json%00'],
    ['NUL before an extension', 'config.json%00.txt'],
    ['a backslash', 'tokenizer%5cvocab%5cwords.txt'],
    ['an overlong slash', 'tokenizer%c0%afvocab%c0%afwords.txt'],
    ['overlong dots', '%c0%ae%c0%ae/config.json'],
    ['broken percent', 'config%2.json'],
    ['broken UTF-8', '%ff%fe'],
    ['a lone surrogate', '%ed%a0%80'],
    ['other case', 'CONFIG.JSON'],
    ['another normal form', 'config.json%cc%81'],
    ['a prefix', 'tokenizer'],
    ['longer than a path may be', 'a'.repeat(1025)],
    ['an absolute path', '%2fetc%2fpasswd'],
    ['a member of every object', '__proto__'],
    ['the manifest', 'manifest.json'],
  ])('%s finds nothing', async (_what, path) => {
    const { status, code, body } = await ask('data', `${objects()}/${path}`);
    expect([status, isErrorCode(String(code))]).toEqual([expect.any(Number), true]);
    expect([400, 404]).toContain(status);
    expect(body.includes('model_type')).toBe(false);
  });

  test.each([
    ['a namespace that is none', `/v1/namespaces/Default/releases/${ID}/objects/config.json`],
    ['another namespace', `/v1/namespaces/other/releases/RELEASE/objects/config.json`],
    ['a namespace with dots', `/v1/namespaces/..%2fdefault/releases/RELEASE/objects/config.json`],
    ['a release that is no id', '/v1/namespaces/default/releases/1/objects/config.json'],
    ['a release in capitals', '/v1/namespaces/default/releases/UPPER/objects/config.json'],
    ['an unknown release', `/v1/namespaces/default/releases/${ID}/objects/config.json`],
    ['an absolute URL of elsewhere', 'https://elsewhere.example/v1/namespaces/default/releases/RELEASE/objects'],
    ['a route in capitals', '/V1/namespaces/default/releases/RELEASE/objects/config.json'],
    ['a double slash', '//v1/namespaces/default/releases/RELEASE/objects/config.json'],
  ])('%s is refused', async (_what, path) => {
    const { status, code } = await ask('data', path.replace('RELEASE', releaseId).replace('UPPER', releaseId.toUpperCase()));
    expect([400, 404]).toContain(status);
    expect(isErrorCode(String(code))).toBe(true);
  });

  test('the same object has the same bytes however it is spelled, and a query is refused', async () => {
    const plain = await ask('data', object(NESTED));
    expect(plain.body.equals(vault.model.get(NESTED) ?? Buffer.alloc(0))).toBe(true);
    for (const spelled of [object('tokenizer%2Fvocab%2Fwords.txt'), object('%74okenizer/vocab/words.txt')]) {
      expect((await ask('data', spelled)).body.equals(plain.body)).toBe(true);
    }
    expect(await ask('data', `${object(NESTED)}?path=config.json&path=x`)).toMatchObject({ status: 400, code: 'request_invalid' });
  });
});

describe('ranges', () => {
  const size = () => vault.model.get(NESTED)?.length ?? 0;
  const bytes = (start: number, end: number) => vault.model.get(NESTED)?.subarray(start, end) ?? Buffer.alloc(0);
  const get = (range?: string, method = 'GET', path = NESTED) =>
    ask('data', object(path), { method, headers: range === undefined ? {} : { Range: range } });

  test('the whole object, its length, its digest', async () => {
    const { status, headers, body } = await get();
    expect([status, body.equals(bytes(0, size()))]).toEqual([200, true]);
    expect(headers).toMatchObject({
      'content-length': String(size()),
      'content-type': 'application/octet-stream',
      'accept-ranges': 'bytes',
      'cache-control': 'no-store',
      etag: expect.stringMatching(/^"[0-9a-f]{64}"$/),
      'repr-digest': expect.stringMatching(/^sha-256=:[A-Za-z0-9+/]{43}=:$/),
    });
    expect(headers).not.toHaveProperty('content-range');
    expect(headers).not.toHaveProperty('content-encoding');
  });

  test.each([
    ['closed', 'bytes=10-19', 10, 20],
    ['one byte', 'bytes=0-0', 0, 1],
    ['open-ended', 'bytes=19990-', 19_990, 20_000],
    ['suffix', 'bytes=-7', 19_993, 20_000],
    ['suffix longer than the object', 'bytes=-99999999', 0, 20_000],
    ['beyond the end', 'bytes=19999-999999999999999999', 19_999, 20_000],
  ])('%s', async (_what, range, start, end) => {
    const { status, headers, body } = await get(range);
    expect([status, headers['content-range'], headers['content-length']]).toEqual([
      206,
      `bytes ${start}-${end - 1}/${size()}`,
      String(end - start),
    ]);
    expect(body.equals(bytes(start, end))).toBe(true);
    const head = await get(range, 'HEAD'); // ranges are GET's: RFC 9110 section 14.2
    expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, String(size()), 0]);
  });

  test.each([
    ['first byte beyond the end', 'bytes=20000-', 'range_invalid'],
    ['suffix 0', 'bytes=-0', 'range_invalid'],
    ['backwards', 'bytes=9-3', 'range_invalid'],
    ['a huge first byte', 'bytes=99999999999999999999-', 'range_invalid'],
    ['no numbers', 'bytes=-', 'range_invalid'],
    ['letters', 'bytes=a-b', 'range_invalid'],
    ['hexadecimal', 'bytes=0x0-0x9', 'range_invalid'],
    ['a negative', 'bytes=--5', 'range_invalid'],
    ['several', 'bytes=0-1,5-6', 'range_unsupported'],
    ['very many', `bytes=${'0-,'.repeat(2000)}0-`, 'range_unsupported'],
  ])('%s is 416 with the size', async (_what, range, code) => {
    const answer = await get(range);
    expect([answer.status, answer.code, answer.headers['content-range']]).toEqual([416, code, `bytes */${size()}`]);
    expect((await get(range, 'HEAD')).status).toBe(200);
  });

  test('HEAD tells what GET would, without a byte', async () => {
    const head = await get(undefined, 'HEAD');
    expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, String(size()), 0]);
    expect(head.headers.etag).toBe((await get()).headers.etag);
  });

  test('an empty object is empty, and no range lies in it', async () => {
    expect(await get(undefined, 'GET', EMPTY)).toMatchObject({ status: 200, headers: { 'content-length': '0' }, body: Buffer.alloc(0) });
    expect((await get(undefined, 'HEAD', EMPTY)).headers['content-length']).toBe('0');
    for (const range of ['bytes=0-', 'bytes=-1', 'bytes=0-0']) expect((await get(range, 'GET', EMPTY)).status).toBe(416);
  });
});

describe('connections', () => {
  test.each(PLANES)('headers larger than 16 KiB are refused on the %s plane', async (plane) => {
    const long = 'a'.repeat(20_000);
    for (const request of [`GET / HTTP/1.1\r\nHost: x\r\nX-Large: ${long}\r\n\r\n`, `GET /${long} HTTP/1.1\r\nHost: x\r\n\r\n`])
      expect(problemIn(await raw(plane, request))).toEqual([431, 'headers_too_large']);
  });

  test.each([
    ['two lengths', 'POST /v1/challenges HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na'],
    ['a length and chunks', 'POST /v1/challenges HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['no host', 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n'],
    ['two hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n'],
    ['an expectation', 'GET / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\nConnection: close\r\n\r\n'],
    ['a bare line feed', 'GET / HTTP/1.1\nHost: x\n\n'],
    ['NUL in a header', 'GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n'],
    ['a chunk that is none', 'POST /v1/namespaces/default/releases HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n'],
    ['no HTTP', `${'\0'.repeat(64)}\r\n\r\n`],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ])('%s is a problem too, and the connection ends', async (_what, bytes) => {
    let got: string | undefined;
    const ended = raw('data', bytes).then((all) => {
      got = all;
    });
    expect(await promptly(vault.server, 9_000, performance.now(), () => got !== undefined)).toBeLessThan(9_000); // of ten seconds
    await ended;
    expect(problemIn(got ?? '')).toEqual([400, 'request_invalid']);
  });

  test('a tunnel is refused, and an upgrade is not followed', async () => {
    expect(problemIn(await raw('data', 'CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n'))).toEqual([
      405,
      'method_not_allowed',
    ]);
    const upgrade = 'GET /v1/nothing HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n';
    expect(problemIn(await raw('data', upgrade))).toEqual([404, 'route_unknown']);
  });

  test('nonsense behind a request whose answer has begun ends the connection, and no answer is put into that one', async () => {
    const get = `GET ${object(LARGE)} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const got = await raw('data', `${get}nonsense\r\n\r\n`);
    expect(got.match(/^HTTP\/1\.1 /gm) ?? []).toHaveLength(got === '' ? 0 : 1);
  });

  test('plain HTTP on the TLS port gets no answer', async () => {
    const got = await new Promise<string>((done) => {
      httpRequest({ host: '127.0.0.1', port: planes.data, path: '/' }, () => done('answered'))
        .once('error', (error: NodeJS.ErrnoException) => done(error.code ?? 'error'))
        .end();
    });
    expect(got).not.toBe('answered');
  });

  test('pipelined answers come in order, and one that fails behind another takes the connection with it', async () => {
    const get = (path: string, more = '') => `GET ${object(path)} HTTP/1.1\r\nHost: x\r\n${more}\r\n`;
    const got = await raw('data', get('config.json') + get(NESTED, 'Range: bytes=0-8\r\n') + get('nothing', 'Connection: close\r\n'));
    const order = ['model_type', 'the quick', 'object_unknown'].map((one) => got.indexOf(one));
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(Math.min(...order)).toBeGreaterThan(0);
  });

  test('a client that goes away while its pipelined reads wait leaves nothing open', async () => {
    const before = openBlobs();
    await new Promise<void>((done) => {
      const socket = connect(tls('data'), () => {
        socket.pause();
        socket.write(`GET ${object(LARGE)} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(5));
      });
      socket.on('error', () => {});
      setTimeout(() => done(void socket.destroy()), 1500);
    });
    expect(await until(() => openBlobs() <= before)).toBe(true);
  });

  /** Ciphertext files that the vault process has open. */
  function openBlobs(): number {
    const { pid } = vault.server;
    return openFiles(pid).filter((file) => file.startsWith(join(vault.folder, 'blobs'))).length;
  }
});

test('a connection that never speaks TLS is closed, and so is one that never finishes its headers, or its body', async () => {
  for (const { plane, slow, late, milliseconds } of await Promise.all(dawdling)) {
    expect([plane, ...problemIn(slow), ...problemIn(late)]).toEqual([plane, 408, 'request_timeout', 408, 'request_timeout']);
    expect(milliseconds).toBeLessThan(40_000);
  }
});

describe('load', () => {
  test('20 readers that have stopped reading a 48 MiB object cost less than 6 MiB each, and are served to the end', () =>
    unlessItStoodStill(vault.server, async () => {
      const rss = () => Number(/VmRSS:\s+(\d+)/.exec(text('/proc', String(vault.server.pid), 'status'))?.[1]) * 1024;
      await ask('data', object(LARGE)); // what the first one costs is the code, not the readers
      const before = rss();
      const stalled = await Promise.all(Array.from({ length: 20 }, () => opened(LARGE)));
      try {
        await sleep(2_000);
        expect(rss() - before).toBeLessThan(20 * 6 * 1024 * 1024);
        const last = collectSlowly(stalled.at(-1) as IncomingMessage);
        expect(await last.ended).toBe('end');
        expect(last.bytes().equals(vault.model.get(LARGE) ?? Buffer.alloc(0))).toBe(true);
      } finally {
        for (const one of stalled) one.destroy();
      }
    }));

  function opened(path: string): Promise<IncomingMessage> {
    return new Promise((done, fail) => {
      const { host, port, ...keys } = tls('data');
      request({ agent: false, host, port: port as number, path: object(path), ...keys }, (response) => done(response.on('error', () => {})))
        .once('error', fail)
        .end();
    });
  }

  test('500 requests of nonsense: never an unforeseen error, and the process lives', async () => {
    const bad: string[] = [];
    for (let round = 0; round < 50; round++) {
      await Promise.all(
        Array.from({ length: 10 }, async (_, one) => {
          const plane: Plane = one % 2 === 0 ? 'data' : 'admin';
          const asked = nonsense(plane);
          const answer = await ask(plane, asked.path, asked).catch((error) => error as NodeJS.ErrnoException);
          if (answer instanceof Error) {
            if (answer.code !== 'ECONNRESET' && answer.code !== 'EPIPE') bad.push(`${answer.message} for ${asked.method} ${asked.path}`);
          } else if (answer.status >= 500 && answer.status !== 502 && answer.status !== 503) {
            bad.push(`${answer.status} ${answer.code} for ${plane} ${asked.method} ${asked.path} ${String(asked.body).slice(0, 200)}`);
          }
        }),
      );
    }
    expect(bad).toEqual([]);
    expect(vault.server.process.exitCode).toBeNull();
    expect((await ask('data', object('config.json'))).status).toBe(200);
  });

  function nonsense(plane: Plane): Asked & { path: string } {
    const pick = <T>(list: readonly T[]): T => list[randomInt(list.length)] as T;
    const words = [
      ID,
      spareRelease,
      'default',
      'system',
      '..',
      '%2e%2e',
      '%00',
      '%ff',
      '%',
      'a'.repeat(300),
      '',
      '*',
      '__proto__',
      SPARE_MACHINE,
      ':x',
      '\u00e9',
      'policy-set',
    ];
    const routes = routesOf(plane);
    const route = pick(routes);
    const path = route.path.replace(/[:*]\w+/g, () => encodeURI(pick(words)).replaceAll('%25', '%'));
    const known = {
      model: pick(words),
      version: pick(words),
      evidence: pick([[], [{ kind: 'tpm2' }], [{ kind: 'tpm2', quoted: 'AA', signature: 1 }], 7]),
    };
    const values = [
      known,
      { challengeId: ID, ...known },
      { administrator: 'alice', code: pick(words) },
      { counter: pick([1, 0, -1, 1e300, '1']), policies: { a: pick(words) } },
      { counter: 1, values: [{}] },
      { counter: 1, anchors: [{ kind: 'tpm2', name: 'x', certificate: 'AAAA' }] },
      { operationDigest: 'a'.repeat(64) },
      { name: 'x', attributes: {}, request: { kind: 'tpm2', v: 1 } },
      { secret: '***' },
      { objects: [{ path: pick(words), size: 1, sha256: 'b'.repeat(64) }] },
      { name: 'm', class: pick(['public', 'x']) },
    ];
    const body = pick([
      () => JSON.stringify(pick(values)),
      () => JSON.stringify(pick(values)),
      () => randomBytes(randomInt(1, 400)),
      () => '{"a":'.repeat(randomInt(1, 60)),
      () => '',
    ])();
    const method = pick([
      route.method.toUpperCase(),
      route.method.toUpperCase(),
      route.method.toUpperCase(),
      'HEAD',
      'PATCH',
      'DELETE',
      'POST',
      'GET',
    ]);
    const headers: Record<string, string> = {
      ...(plane === 'admin' && pick([true, true, false]) && path !== '/v1/session' ? session() : {}),
      ...(pick([true, false]) ? { Range: pick(['bytes=0-', 'bytes=x', 'bytes=0-1,2-3', `bytes=${'9'.repeat(50)}-`, 'rows=1']) } : {}),
      ...(pick([true, false]) ? { 'Content-Type': pick(['application/json', 'text/html', 'multipart/form-data', '']) } : {}),
      ...(pick([true, false, false]) ? { 'Content-Encoding': pick(['gzip', 'identity', '']) } : {}),
      ...(pick([true, false, false]) ? { 'If-None-Match': '*', 'If-Range': '"x"', Expect: pick(['', 'x']) } : {}),
    };
    return { path, method, headers, ...(method === 'GET' || method === 'HEAD' ? {} : { body }) };
  }
});

/** What a process has open, by /proc. */
function openFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return ''; // closed meanwhile
    }
  });
}

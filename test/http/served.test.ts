/** What the route table promises, asked over TLS: forms of requests, conditions, the OpenAPI document, health, figures. */
import { randomBytes } from 'node:crypto';
import { connect as tcpConnect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Validator } from '@seriousme/openapi-schema-validator';
import { z } from 'zod';
import { VaultError } from '../../src/domain/errors.ts';
import { templated } from '../../src/http/openapi.ts';
import { marker, type Published } from '../vault/test-vault.ts';
import { type Answer, type Asking, type Plane, type Served, startServing } from './serving.ts';

const SIZE = 5_000;
const PLAIN = Buffer.from(marker(SIZE));
/** More than a connection holds in its buffers. */
const LARGE = randomBytes(24 * 1024 * 1024);
const ID = '01890000-0000-7000-8000-000000000000';
const PLANES: Plane[] = ['data', 'admin'];

let served: Served;
let version: Published;
let releaseId: string;
let dripped: ReturnType<typeof drip>;
const faults: string[] = [];

beforeAll(async () => {
  served = await startServing((message) => faults.push(message));
  version = await served.vault.publish('secret-model-name', 'internal', {
    'secret-file.bin': PLAIN,
    'large.bin': LARGE,
    empty: new Uint8Array(0),
  });
  const body = JSON.stringify(await served.releaseBody(version.model, version.versionId));
  const answer = await served.ask('data', '/v1/namespaces/prod/releases', { method: 'POST', body });
  expect(answer.status).toBe(201);
  releaseId = String(answer.json['id']);
  dripped = drip();
});
afterAll(() => served?.stop());

/** A body that comes a byte at a time, to a route that is not there. Takes ten seconds, so it begins first and is looked at last. */
async function drip(): Promise<{ heard: string; milliseconds: number }> {
  const { certificatePem: cert, privateKeyPem: key } = served.machineKey;
  const socket = connect({ host: '127.0.0.1', port: served.planes.data.port, ca: served.ca, cert, key });
  const heard: Buffer[] = [];
  socket.on('data', (piece) => heard.push(piece)).on('error', () => undefined);
  const startedAt = performance.now();
  socket.write('POST /v1/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n');
  const drops = setInterval(() => socket.write('x'), 500);
  await new Promise((done) => socket.once('close', done));
  clearInterval(drops);
  return { heard: Buffer.concat(heard).toString(), milliseconds: performance.now() - startedAt };
}

const releases = '/v1/namespaces/prod/releases';
const object = (path = 'secret-file.bin') => `${releases}/${releaseId}/objects/${path}`;
const get = (headers: Record<string, string> = {}, method = 'GET', path?: string) => served.ask('data', object(path), { method, headers });
const admin = async (path: string, asking: Asking = {}) =>
  served.ask('admin', path, { ...asking, headers: { ...(await served.session()), ...asking.headers } });
const codeOf = ({ status, json }: Answer) => [status, json['code']];

describe('what a route does not declare is refused', () => {
  test('a query parameter', async () => {
    for (const [plane, path, method] of [
      ['data', '/v1/challenges?x=1', 'POST'],
      ['data', `${object()}?versionId=1`, 'GET'],
      ['data', `${object()}?__proto__=1`, 'GET'],
      ['admin', '/v1/namespaces/prod/requests?x', 'GET'],
    ] as const) {
      const answer = plane === 'admin' ? await admin(path, { method }) : await served.ask(plane, path, { method });
      expect([path, ...codeOf(answer)]).toEqual([path, 400, 'request_invalid']);
    }
    expect((await get({}, 'GET', 'secret-file.bin?')).status).toBe(200); // an empty query is none
  });

  test('a body', async () => {
    const chunked = { 'Transfer-Encoding': 'chunked' };
    const bodies: Asking[] = [
      { body: '{}', headers: { 'Content-Length': '2' } },
      { body: 'x', headers: chunked },
      { body: '', headers: chunked },
    ];
    for (const asking of bodies) {
      expect(codeOf(await served.ask('data', '/v1/challenges', { method: 'POST', ...asking }))).toEqual([400, 'request_invalid']);
      expect(codeOf(await admin('/v1/namespaces/prod/requests', { method: 'GET', ...asking }))).toEqual([400, 'request_invalid']);
    }
    expect((await served.ask('data', '/v1/challenges', { method: 'POST', headers: { 'Content-Length': '0' } })).status).toBe(201);
  });

  test('who asks comes first: a stranger learns nothing about the form', async () => {
    const answer = await served.ask('admin', '/v1/namespaces/prod/models?x=1', { method: 'POST', body: '{' });
    expect(codeOf(answer)).toEqual([401, 'session_missing']);
  });
});

describe('a JSON body', () => {
  const post = (headers: Record<string, string>) => served.ask('data', releases, { method: 'POST', body: '{}', headers });

  test.each([
    'text/html',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/json; charset=utf-16',
    'application/jsonp',
    'application/json, text/plain',
    '',
    'json',
  ])('of type %j is 415', async (type) => {
    expect(codeOf(await post({ 'Content-Type': type }))).toEqual([415, 'media_type_unsupported']);
  });

  test.each(['application/json', 'Application/JSON', 'application/json; charset=utf-8', 'application/json;charset="UTF-8"'])(
    'of type %j is read, and then found wanting',
    async (type) => {
      expect(codeOf(await post({ 'Content-Type': type }))).toEqual([400, 'request_invalid']);
    },
  );

  test('with a coding is refused, and so is an upload with one', async () => {
    for (const coding of ['gzip', 'identity', '']) {
      expect(codeOf(await post({ 'Content-Encoding': coding }))).toEqual([400, 'request_invalid']);
    }
    const path = `/v1/namespaces/prod/versions/${ID}/objects/a`;
    const answer = await admin(path, { method: 'PUT', body: 'x', headers: { 'Content-Encoding': 'gzip' } });
    expect(codeOf(answer)).toEqual([400, 'request_invalid']);
  });
});

describe('conditional reads', () => {
  const tag = async () => String((await get()).headers.etag);

  test('the tag is the SHA-256, strong, the same for GET, HEAD and a range', async () => {
    expect(await tag()).toMatch(/^"[0-9a-f]{64}"$/);
    expect((await get({}, 'HEAD')).headers.etag).toBe(await tag());
    expect((await get({ Range: 'bytes=0-1' })).headers.etag).toBe(await tag());
  });

  test.each(['GET', 'HEAD'])('If-None-Match with the tag: %s is 304 without a body', async (method) => {
    for (const header of [await tag(), `"x", W/${await tag()}`, '*']) {
      const { status, headers, body } = await get({ 'If-None-Match': header, Range: 'bytes=0-1' }, method);
      expect([status, headers.etag, body.length]).toEqual([304, await tag(), 0]);
      expect(headers['cache-control']).toBe('no-store');
      expect(headers).not.toHaveProperty('content-range');
    }
    expect((await get({ 'If-None-Match': '"x"' }, method)).status).toBe(200);
  });

  test('If-Match with another tag is 412 and says no digest', async () => {
    const answer = await get({ 'If-Match': '"x"', 'If-None-Match': await tag() });
    expect(codeOf(answer)).toEqual([412, 'precondition_failed']);
    expect(answer.body.toString()).not.toContain((await tag()).slice(1, -1));
    expect((await get({ 'If-Match': await tag() })).status).toBe(200);
    expect((await get({ 'If-Match': '"x"' }, 'HEAD')).status).toBe(412);
  });

  test('If-Range: only this very tag makes Range count', async () => {
    const ranged = (ifRange: string) => get({ Range: 'bytes=10-19', 'If-Range': ifRange });
    const part = await ranged(await tag());
    expect([part.status, part.body.equals(PLAIN.subarray(10, 20))]).toEqual([206, true]);
    for (const other of [`W/${await tag()}`, '"x"', new Date(Date.now() + 9e6).toUTCString(), '*']) {
      const whole = await ranged(other);
      expect([other, whole.status, whole.body.equals(PLAIN)]).toEqual([other, 200, true]);
    }
    expect((await get({ Range: 'bytes=0-1,4-5', 'If-Range': '"x"' })).status).toBe(200);
  });

  test('dates are no conditions: an object has no modification date', async () => {
    const later = new Date(Date.now() + 9e6).toUTCString();
    for (const name of ['If-Modified-Since', 'If-Unmodified-Since'])
      for (const date of [later, new Date(0).toUTCString()]) expect((await get({ [name]: date })).status).toBe(200);
  });

  test('who may not read learns nothing from a condition, and the refusal is on record', async () => {
    const denied = () => served.vault.records('object.denied').length;
    const before = denied();
    const stranger = served.ask('data', object(), { headers: { 'If-None-Match': '*' }, withoutCertificate: true });
    expect(codeOf(await stranger)).toEqual([401, 'client_certificate_missing']);
    const unknown = await served.ask('data', object().replace(releaseId, ID), { headers: { 'If-None-Match': '*' } });
    expect(codeOf(unknown)).toEqual([404, 'release_unknown']);
    expect(denied()).toBe(before + 1);
  });

  test('several ranges are refused, and Accept-Encoding changes nothing', async () => {
    expect(codeOf(await get({ Range: `bytes=${'0-0,'.repeat(3000)}1-1` }))).toEqual([416, 'range_unsupported']);
    const answer = await get({ 'Accept-Encoding': 'gzip, br, identity;q=0' });
    expect([answer.status, answer.headers['content-encoding'], answer.body.equals(PLAIN)]).toEqual([200, undefined, true]);
  });

  test('an empty object has conditions too', async () => {
    const { headers } = await get({}, 'GET', 'empty');
    expect((await get({ 'If-None-Match': String(headers.etag) }, 'GET', 'empty')).status).toBe(304);
  });
});

describe('the OpenAPI document', () => {
  type Json = Record<string, unknown>;
  const at = (value: unknown, ...path: string[]) => path.reduce<unknown>((now, name) => (now as Json | undefined)?.[name], value) as Json;
  const read = async (plane: Plane) => (await served.ask(plane, '/v1/openapi.json', { withoutCertificate: true })).json;

  test.each(PLANES)('of the %s plane is valid OpenAPI 3.1', async (plane) => {
    const validator = new Validator();
    const result = await validator.validate(await read(plane));
    expect([result.valid, result.errors ?? []]).toEqual([true, []]);
    expect(validator.version).toBe('3.1');
  });

  test.each(PLANES)(
    'of the %s plane has every route and nothing else, each with its own id, its parameters and its caller',
    async (plane) => {
      const document = await read(plane);
      const listed = Object.entries(at(document, 'paths')).flatMap(([path, methods]) =>
        Object.keys(methods as Json).map((method) => `${method} ${path}`),
      );
      expect(listed.sort()).toEqual(served.routes[plane].map(({ method, path }) => `${method} ${templated(path)}`).sort());
      const ids = served.routes[plane].map(({ operationId }) => operationId);
      expect(new Set(ids).size).toBe(ids.length);
      for (const { method, path, caller, action, query } of served.routes[plane]) {
        const operation = at(document, 'paths', templated(path), method);
        const names = (operation['parameters'] as Json[]).map((one) => `${one['in']} ${one['name']}`);
        const inPath = [...templated(path).matchAll(/\{(\w+)\}/g)].map((one) => `path ${one[1]}`);
        expect(names).toEqual([...inPath, ...Object.keys(query?.shape ?? {}).map((name) => `query ${name}`)]);
        const schemes = { anyone: [], machine: ['clientKey'], workstation: ['clientKey'], session: ['clientKey', 'session'] };
        expect((operation['security'] as Json[]).flatMap((one) => Object.keys(one))).toEqual(schemes[caller]);
        if (typeof action === 'string') expect(operation['x-cedar-action']).toBe(action);
      }
    },
  );

  test.each(PLANES)('every body of the %s plane, and every answer, is closed: no unknown member fits', async (plane) => {
    const open: string[] = [];
    const look = (what: string, schema: Json | undefined) => {
      if (schema === undefined) return;
      const kinds = (schema['anyOf'] ?? schema['oneOf'] ?? [schema]) as Json[];
      if (kinds.some((one) => one['additionalProperties'] !== false)) open.push(what);
    };
    for (const [path, methods] of Object.entries(at(await read(plane), 'paths'))) {
      for (const [method, operation] of Object.entries(methods as Json)) {
        look(`body of ${method} ${path}`, at(operation, 'requestBody', 'content', 'application/json', 'schema'));
        for (const [status, answer] of Object.entries(at(operation, 'responses')))
          look(`${status} of ${method} ${path}`, at(answer, 'content', 'application/json', 'schema'));
      }
    }
    expect(open).toEqual(['200 of get /v1/openapi.json']);
  });

  test('answers really sent fit their schemas, problems too', async () => {
    const name = `m${randomBytes(4).toString('hex')}`;
    const json = (value: unknown): Asking => ({
      method: 'POST',
      body: JSON.stringify(value),
      headers: { 'Content-Type': 'application/json' },
    });
    const ns = '/v1/namespaces/{namespace}';
    const seen: Array<[Plane, string, string, Answer]> = [];
    const note = async (plane: Plane, method: string, path: string, answer: Promise<Answer>) => {
      const came = await answer;
      seen.push([plane, method, path, came]);
      return came;
    };
    const prod = '/v1/namespaces/prod';
    for (const plane of PLANES)
      for (const one of ['live', 'ready']) await note(plane, 'get', `/v1/health/${one}`, served.ask(plane, `/v1/health/${one}`));
    await note('data', 'post', '/v1/challenges', served.ask('data', '/v1/challenges', { method: 'POST' }));
    const body = await served.releaseBody(version.model, version.versionId);
    const release = await note('data', 'post', `${ns}/releases`, served.ask('data', releases, json(body)));
    await note('data', 'post', `${ns}/releases`, served.ask('data', releases, json(body))); // spent: a problem with a record
    await note('data', 'delete', `${ns}/releases/{release}`, served.ask('data', `${releases}/${release.json['id']}`, { method: 'DELETE' }));
    await note('data', 'get', `${ns}/releases/{release}/objects/{object}`, get({ 'If-None-Match': '*' }));
    await note('data', 'get', `${ns}/releases/{release}/objects/{object}`, get({ Range: 'bytes=0-' }));

    await note('admin', 'post', `${ns}/models`, admin(`${prod}/models`, json({ name, class: 'restricted' })));
    const started = await note(
      'admin',
      'post',
      `${ns}/models/{model}/versions`,
      admin(`${prod}/models/${name}/versions`, { method: 'POST' }),
    );
    const uploading = `${prod}/versions/${started.json['versionId']}`;
    const put = admin(`${uploading}/objects/a/b.bin`, { method: 'PUT', body: 'weights' });
    const uploaded = (await note('admin', 'put', `${ns}/versions/{version}/objects/{path}`, put)).json;
    const announced = { class: 'restricted', objects: [uploaded], attributes: {} };
    await note('admin', 'post', `${ns}/versions/{version}/finish`, admin(`${uploading}/finish`, json(announced)));
    await note('admin', 'get', `${ns}/models/{model}`, admin(`${prod}/models/${name}`));
    await note('admin', 'get', `${ns}/requests`, admin(`${prod}/requests`));
    for (const slot of ['policy-set', 'reference-values', 'trust-anchors'])
      await note('admin', 'get', `${ns}/documents/{slot}`, admin(`${prod}/documents/${slot}`));
    await note('admin', 'get', `${ns}/documents/{slot}`, admin('/v1/namespaces/nothing-here/documents/policy-set'));
    await note('admin', 'get', '/v1/log/checkpoint', admin('/v1/log/checkpoint'));
    await note('admin', 'post', '/v1/session', served.ask('admin', '/v1/session', json({ administrator: 'alice', code: '000000' })));

    const documents = { data: await read('data'), admin: await read('admin') };
    for (const [plane, method, path, { status, headers, json: sent }] of seen) {
      const type = String(headers['content-type'] ?? '').split(';')[0] ?? '';
      const what = `${method} ${path} ${status} ${type}`;
      const document = documents[plane];
      if (type === 'application/problem+json') {
        expect([what, at(document, 'paths', path, method, 'responses', 'default')]).toEqual([
          what,
          { $ref: '#/components/responses/Problem' },
        ]);
        expectFits(what, at(document, 'components', 'schemas', 'Problem'), sent);
        continue;
      }
      const described = at(document, 'paths', path, method, 'responses', String(status));
      expect([what, described !== undefined]).toEqual([what, true]);
      expect([what, Object.keys(at(described, 'content') ?? {})]).toEqual([what, type === '' ? [] : [type]]);
      if (type === 'application/json') expectFits(what, at(described, 'content', type, 'schema'), sent);
    }
    const statuses = new Set(seen.map(([, , , { status }]) => status));
    expect([200, 201, 204, 206, 304, 401, 403].filter((status) => !statuses.has(status))).toEqual([]);
  });

  function expectFits(what: string, schema: Json, sent: Json): void {
    const form = z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);
    expect([what, form.safeParse(sent).error?.message]).toEqual([what, undefined]);
    expect([what, form.safeParse({ ...sent, unknown: 1 }).success]).toEqual([what, false]); // the schema says something
  }
});

describe('health', () => {
  const health = (what: string) => served.ask('data', `/v1/health/${what}`, { withoutCertificate: true });

  test.each(PLANES)('a stranger is told one word on the %s plane', async (plane) => {
    for (const what of ['live', 'ready']) {
      const { status, json, headers } = await served.ask(plane, `/v1/health/${what}`, { withoutCertificate: true });
      expect([status, json, headers['cache-control']]).toEqual([200, { status: 'ok' }, 'no-store']);
    }
  });

  test('a node that cannot read its list of stops is not ready, and still lives', async () => {
    served.vault.clock.wait(5_000);
    const { status, json } = await health('ready');
    expect([status, json]).toEqual([503, { status: 'unready' }]);
    expect((await health('live')).status).toBe(200);
    await served.vault.vault.revocations.refresh();
    expect((await health('ready')).status).toBe(200);
  });
});

describe('figures', () => {
  const value = (text: string, series: string) =>
    Number(
      text
        .split('\n')
        .find((line) => line.startsWith(`${series} `))
        ?.slice(series.length),
    );

  test('count what was done, by closed lists', async () => {
    const { keys } = served.vault;
    keys.failUnwrap = new VaultError('hsm_unavailable');
    expect((await served.served.keys.unwrap({} as never, new Uint8Array()).catch((error) => error)).code).toBe('hsm_unavailable');
    keys.failUnwrap = undefined;
    const before = await served.metrics.text();
    await get();
    await get({ Range: 'bytes=0-99' });
    await get({ 'If-Match': '"x"' });
    await served.ask('data', '/v1/nothing/secret-model-name');
    const text = await served.metrics.text();
    const grown = (series: string) => value(text, series) - (value(before, series) || 0);
    const read = 'plane="data",operation="readObject"';
    expect(grown('weight_vault_plaintext_bytes_total')).toBe(SIZE + 100);
    expect(grown(`weight_vault_http_request_seconds_count{${read},status="200"}`)).toBe(1);
    expect(grown(`weight_vault_http_request_seconds_count{${read},status="206"}`)).toBe(1);
    expect(grown(`weight_vault_http_problems_total{${read},code="precondition_failed"}`)).toBe(1);
    expect(grown('weight_vault_http_problems_total{plane="data",operation="none",code="route_unknown"}')).toBe(1);
    expect(value(text, 'weight_vault_records_total{type="release.begin",outcome="permit",reason=""}')).toBeGreaterThan(0);
    expect(value(text, 'weight_vault_records_total{type="release.denied",outcome="deny",reason="challenge_spent"}')).toBeGreaterThan(0);
    expect(value(text, 'weight_vault_records_total{type="release.end",outcome="aborted",reason=""}')).toBeGreaterThan(0);
    expect(value(text, 'weight_vault_key_call_failures_total{verb="unwrap",code="hsm_unavailable"}')).toBe(1);
    expect(value(text, 'weight_vault_streams_open')).toBe(0);
    expect(value(text, 'weight_vault_ready')).toBe(1);
    expect(value(text, 'weight_vault_revocations_stale')).toBe(0);
    expect(value(text, 'weight_vault_log_halted')).toBe(0);
    expect(value(text, 'weight_vault_log_records')).toBeGreaterThanOrEqual(0);
  });

  test('name nobody and nothing', async () => {
    const { vault, machine } = served;
    await served.ask('admin', '/v1/namespaces/secret-namespace/models/secret-model-name');
    await admin('/v1/namespaces/secret-namespace/models/secret-model-name');
    const text = await served.metrics.text();
    const known = [
      ...['secret', 'prod', 'alice', 'bob', 'gpu-node', 'production', '127.0.0.1', vault.site.folder],
      ...[machine.subjectId, machine.akName, version.versionId, version.modelId, version.versionDigest, releaseId],
      ...[served.served.vaultId, served.served.node, served.machineKey.spkiDigest],
    ];
    expect(known.filter((name) => text.includes(name))).toEqual([]);
    expect(text).not.toMatch(/[0-9a-f]{8}-[0-9a-f]{4}-|[0-9a-f]{32}/);
    const labels = new Set([...text.matchAll(/[{,](\w+)="/g)].map((one) => one[1]));
    expect([...labels].sort()).toEqual(['class', 'code', 'le', 'operation', 'outcome', 'plane', 'reason', 'status', 'type', 'verb']);
  });
});

test('the rest of a refused body is not waited for', async () => {
  const { heard, milliseconds } = await dripped;
  expect(heard).toContain('"route_unknown"');
  expect(milliseconds).toBeLessThan(40_000);
});

test('nothing here was an unforeseen error', () => {
  expect(faults).toEqual([]);
});

/** Last: from here on the node says that it stops. */
describe('a draining node', () => {
  test('lets a stream under way finish, ends the connection of every answer, and is not ready', async () => {
    const { port } = served.planes.data;
    const { certificatePem: cert, privateKeyPem: key } = served.machineKey;
    const open = (path: string) => {
      const socket = connect({ host: '127.0.0.1', port, ca: served.ca, cert, key });
      const heard: Buffer[] = [];
      socket.on('data', (piece) => heard.push(piece));
      const ended = new Promise<void>((done) => socket.once('close', () => done()));
      const ask = (what: string) => socket.write(`GET ${what} HTTP/1.1\r\nHost: x\r\n\r\n`);
      ask(path);
      return { socket, ask, ended, said: () => Buffer.concat(heard) };
    };
    const until = async (holds: () => boolean) => {
      for (let waited = 0; !holds() && waited < 60_000; waited += 10) await sleep(10);
    };
    const kept = open('/v1/health/ready');
    await until(() => kept.said().includes('{"status":"ok"}'));
    expect(kept.said().toString()).toContain('Connection: keep-alive');
    const slow = open(object('large.bin'));
    await until(() => slow.said().length > 0);
    slow.socket.pause();

    served.readiness.drain();
    kept.ask('/v1/health/ready');
    await kept.ended;
    expect(kept.said().toString()).toMatch(/503 Service Unavailable[\s\S]*Connection: close[\s\S]*\{"status":"unready"\}$/);
    const ready = await served.ask('admin', '/v1/health/ready');
    expect([ready.status, ready.json, ready.headers.connection]).toEqual([503, { status: 'unready' }, 'close']);

    let stopped = false;
    const stopping = served.planes.data.close(20).then(() => (stopped = true));
    const refused = new Promise((done) => tcpConnect(port, '127.0.0.1').once('error', done).once('connect', done));
    expect(await refused).toMatchObject({ code: 'ECONNREFUSED' });
    await sleep(300);
    expect(stopped).toBe(false);
    slow.socket.resume();
    await stopping;
    await slow.ended;
    expect(slow.said().subarray(-LARGE.length).equals(LARGE)).toBe(true);
  });
});

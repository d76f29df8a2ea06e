/** The receiving side against a vault that lies: it must refuse, and leave no file that is not what was granted. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { DataClient, type GrantedRelease } from '../../src/agent/data-client.ts';
import { type FetchOptions, fetchRelease } from '../../src/agent/fetch.ts';
import { createHttpsClient, type HttpsClient, RefusedError } from '../../src/agent/https-client.ts';
import { lastingRelease } from '../../src/agent/lasting-release.ts';
import { createRetries } from '../../src/agent/retry.ts';
import { codeOf, VaultError } from '../../src/domain/errors.ts';
import { type IssuedCertificate, issueSelfSigned } from '../../src/identity/certificates.ts';
import { filesBelow, until } from '../e2e/real-vault.ts';

const MIB = 1024 * 1024;
const ID = '01890000-0000-7000-8000-000000000000';
const now = new Date();
type Answer = (request: IncomingMessage, response: ServerResponse) => unknown;

let server: Server;
let served: IssuedCertificate;
let ours: IssuedCertificate;
let answer: Answer;
let seen: string[];
let https: HttpsClient;
let client: DataClient;
let folder: string;

beforeAll(async () => {
  served = await issueSelfSigned({ commonName: 'a vault that lies', days: 1, now, hosts: ['127.0.0.1'] });
  ours = await issueSelfSigned({ commonName: 'requester', days: 1, now });
  server = createServer(
    { cert: served.certificatePem, key: served.privateKeyPem, requestCert: true, rejectUnauthorized: false },
    (...both) => {
      seen.push(`${both[0].method} ${both[0].url} ${both[0].headers.range ?? ''}`.trim());
      answer(...both);
    },
  );
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
});
afterAll(async () => {
  const closed = new Promise<void>((done) => server.close(() => done()));
  server.closeAllConnections();
  await closed;
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wv-agent-'));
  seen = [];
  https = connectWith({});
  client = new DataClient(https, 'default', ours.privateKeyPem);
});
afterEach(() => {
  https.close();
  rmSync(folder, { recursive: true, force: true });
});

const port = () => (server.address() as AddressInfo).port;
function connectWith(more: Partial<Parameters<typeof createHttpsClient>[0]>): HttpsClient {
  return createHttpsClient({
    url: `https://127.0.0.1:${port()}`,
    ca: served.certificatePem,
    certificate: ours.certificatePem,
    privateKey: ours.privateKeyPem,
    ...more,
  });
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
/** A release of these files, as the vault would have granted it. */
function granted(files: Record<string, Buffer>): GrantedRelease {
  const objects = Object.entries(files).map(([path, bytes]) => ({ path, size: bytes.length, sha256: sha256(bytes) }));
  return {
    releaseId: ID,
    expires: '',
    versionId: ID,
    versionDigest: sha256(Buffer.alloc(0)),
    objects,
    recordId: ID,
  } as object as GrantedRelease;
}

function rangeOf(request: IncomingMessage): [start: number, end: number] {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  return [Number(first), Number(last) + 1];
}

/** Answers ranges of `bytes` honestly, through `change`. */
const serving =
  (bytes: Buffer, change: (part: Buffer, start: number) => Buffer = (part) => part): Answer =>
  (request, response) => {
    const [start, end] = rangeOf(request);
    response.writeHead(206).end(change(bytes.subarray(start, end), start));
  };

/** With so little patience that nothing is tried twice. */
const receive = (release: GrantedRelease, options: FetchOptions = {}, by = client) =>
  fetchRelease(by, lastingRelease(release), folder, { retries: createRetries({ giveUpSeconds: 0 }), ...options });

const failure = (work: Promise<unknown>) => work.then(() => undefined, codeOf);

describe('an honest vault', () => {
  test('is received by parallel parts of 16 MiB, under its own names, and nothing else is left', async () => {
    const bytes = randomBytes(40 * MIB);
    let [open, most] = [0, 0];
    answer = async (request, response) => {
      most = Math.max(most, ++open);
      await until(() => most >= 3); // held until all are open at once
      await sleep(100);
      open--;
      serving(bytes)(request, response);
    };
    let counted = 0;
    await receive(granted({ 'deep/er/weights.bin': bytes, 'deep/empty': Buffer.alloc(0) }), { onBytes: (more) => (counted += more) });
    expect(filesBelow(folder)).toEqual([join(folder, 'deep/empty'), join(folder, 'deep/er/weights.bin')]);
    expect(readFileSync(join(folder, 'deep/er/weights.bin')).equals(bytes)).toBe(true);
    expect([most, counted]).toEqual([3, bytes.length]);
    expect(seen.map((line) => line.split(' ')[2]).sort()).toEqual(
      ['bytes=0-16777215', 'bytes=16777216-33554431', 'bytes=33554432-41943039'].sort(),
    );
  });

  test('a name as long as names may be, and a name that looks like a part, are received', async () => {
    const bytes = Buffer.from('x');
    answer = serving(bytes);
    const names = ['n'.repeat(255), 'a', 'a.wv-part', 'ü b?c#d%2e/e'];
    await receive(granted(Object.fromEntries(names.map((name) => [name, bytes]))));
    expect(filesBelow(folder)).toEqual(names.map((name) => join(folder, name)).sort());
    expect(seen.some((line) => line.endsWith('/objects/%C3%BC%20b%3Fc%23d%252e/e bytes=0-0'))).toBe(true);
  });
});

describe('a lying answer leaves nothing under a name', () => {
  const bytes = randomBytes(20 * MIB);

  test.each<[string, string, Answer]>([
    ['shorter than asked', 'digest_mismatch', serving(bytes, (part) => part.subarray(1))],
    ['empty', 'digest_mismatch', serving(bytes, () => Buffer.alloc(0))],
    ['longer than asked', 'digest_mismatch', serving(bytes, (part) => Buffer.concat([part, Buffer.alloc(1)]))],
    [
      'one bit wrong',
      'digest_mismatch',
      serving(bytes, (part, start) => (start === 0 ? Buffer.concat([Buffer.from([~(part[0] ?? 0) & 255]), part.subarray(1)]) : part)),
    ],
    [
      'another range of the same object',
      'digest_mismatch',
      serving(bytes, (part, start) => (start === 0 ? bytes.subarray(1, part.length + 1) : part)),
    ],
    ['the whole object with status 200', 'internal', (_request, response) => response.writeHead(200).end(bytes)],
    ['204', 'internal', (_request, response) => response.writeHead(204).end()],
    ['a redirect', 'internal', (_request, response) => response.writeHead(302, { Location: 'https://127.0.0.1:1/' }).end()],
    ['a problem', 'release_cut', (_request, response) => response.writeHead(403).end('{"code":"release_cut"}')],
    ['a problem with an invented code', 'internal', (_request, response) => response.writeHead(403).end('{"code":"toString"}')],
    ['a status without a problem', 'internal', (_request, response) => response.writeHead(500).end('<html>')],
    ['a problem without an end', 'internal', (_request, response) => flood(response.writeHead(403))],
    ['cut in the middle', 'vault_unreachable', (request, response) => cutAfter(request, response, 1000)],
    [
      'an error after many good parts',
      'release_expired',
      (request, response) =>
        rangeOf(request)[0] === 0 ? serving(bytes)(request, response) : response.writeHead(403).end('{"code":"release_expired"}'),
    ],
    ['no HTTP at all', 'vault_unreachable', (request) => request.socket.end('nonsense\r\n\r\n')],
  ])('%s', async (_what, code, lie) => {
    answer = lie;
    expect(await failure(receive(granted({ 'model.bin': bytes })))).toBe(code);
    const left = filesBelow(folder).map((file) => file.slice(folder.length + 1));
    // What may pass keeps its parts for the next call; whoever lied, or was refused, leaves nothing at all.
    const resumable = ['internal', 'vault_unreachable', 'release_expired'].includes(code);
    expect(left).toEqual(
      resumable ? [expect.stringMatching(/^\.wv-part\/.*\.journal$/), expect.stringMatching(/^\.wv-part\/.*\.part$/)] : [],
    );
  });

  test('and leaves the file of an earlier fetch alone', async () => {
    writeFileSync(join(folder, 'model.bin'), 'what was there');
    answer = serving(bytes, (part) => Buffer.alloc(part.length));
    expect(await failure(receive(granted({ 'model.bin': bytes })))).toBe('digest_mismatch');
    expect(filesBelow(folder)).toEqual([join(folder, 'model.bin')]);
    expect(readFileSync(join(folder, 'model.bin'), 'utf8')).toBe('what was there');
  });

  test('an object that is empty only by its announcement is refused', async () => {
    const release = granted({ 'model.bin': Buffer.alloc(0) });
    const lied = { ...release, objects: release.objects.map((one) => ({ ...one, sha256: 'a'.repeat(64) })) } as object as GrantedRelease;
    expect(await failure(receive(lied))).toBe('digest_mismatch');
    expect(filesBelow(folder)).toEqual([]);
  });

  test('an object as large as numbers are costs no memory before its bytes come', async () => {
    const release = granted({ 'model.bin': Buffer.alloc(1) });
    const lied = { ...release, objects: release.objects.map((one) => ({ ...one, size: Number.MAX_SAFE_INTEGER })) };
    answer = (_request, response) => response.writeHead(403).end('{"code":"release_cut"}');
    const before = process.memoryUsage().heapUsed;
    expect(await failure(receive(lied))).toBe('release_cut');
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * MIB);
    expect(filesBelow(folder)).toEqual([]);
  });

  test('the first part that fails stops the others', async () => {
    const closed: string[] = [];
    answer = (request, response) => {
      const [start] = rangeOf(request);
      response.on('close', () => closed.push(response.writableEnded ? 'ended' : 'broken off'));
      if (start === 0) void until(() => seen.length === 2).then(() => response.writeHead(403).end('{"code":"release_cut"}'));
      else response.writeHead(206).write(Buffer.alloc(1000)); // and never the rest
    };
    expect(await failure(receive(granted({ 'model.bin': bytes })))).toBe('release_cut');
    await until(() => closed.length === 2);
    expect(closed.sort()).toEqual(['broken off', 'ended']);
  });
});

describe('a lying grant is refused before a file is made', () => {
  const grant = (change: object) => ({
    id: ID,
    expires: '',
    version: ID,
    versionDigest: 'a'.repeat(64),
    objects: [],
    receipt: { recordId: ID },
    ...change,
  });
  const object = (change: object) => grant({ objects: [{ path: 'a', size: 1, sha256: 'a'.repeat(64), ...change }] });

  test.each<[string, string, object]>([
    ['a path out of the folder', 'path_invalid', object({ path: '../../etc/passwd' })],
    ['a path out of the folder in the middle', 'path_invalid', object({ path: 'a/../../b' })],
    ['an absolute path', 'path_invalid', object({ path: '/etc/passwd' })],
    ['a path with NUL', 'path_invalid', object({ path: 'a\0b' })],
    ['a path with a backslash', 'path_invalid', object({ path: '..\\..\\b' })],
    ['an empty path', 'path_invalid', object({ path: '' })],
    ['a path that is too long', 'path_invalid', object({ path: 'a/'.repeat(600) })],
    ['a negative size', 'internal', object({ size: -1 })],
    ['a size that is no integer', 'internal', object({ size: 1.5 })],
    ['a size beyond all numbers', 'internal', object({ size: 1e300 })],
    ['a digest that is none', 'request_invalid', object({ sha256: 'A'.repeat(64) })],
    ['an id that is none', 'request_invalid', grant({ id: '../challenges' })],
    ['no receipt', 'internal', grant({ receipt: undefined })],
    ['objects that are no list', 'internal', grant({ objects: { length: 1 } })],
  ])('%s', async (_what, code, lie) => {
    answer = (_request, response) => response.writeHead(201).end(JSON.stringify(lie));
    expect(await failure(client.release('m', ID, ID, []))).toBe(code);
  });

  test.each<[string, string, Answer]>([
    ['not JSON', 'internal', (_request, response) => response.end('<html>')],
    ['nothing', 'internal', (_request, response) => response.end()],
    ['null', 'internal', (_request, response) => response.end('null')],
    ['JSON without an end', 'request_too_large', (_request, response) => flood(response)],
    ['a challenge without a vault', 'internal', (_request, response) => response.end('{"id":"x","nonce":"","expires":""}')],
  ])('a challenge that is %s', async (_what, code, lie) => {
    answer = lie;
    expect(await failure(client.challenge())).toBe(code);
  });
});

describe('the connection', () => {
  test('a vault with another certificate is not spoken to', async () => {
    const other = await issueSelfSigned({ commonName: 'another', days: 1, now, hosts: ['127.0.0.1'] });
    const stranger = connectWith({ ca: other.certificatePem });
    expect(await failure(stranger.json('POST', '/v1/challenges'))).toBe('vault_unreachable');
    expect(seen).toEqual([]);
    stranger.close();
  });

  test('a vault that is not there is an error, at once', async () => {
    const nowhere = connectWith({ url: 'https://127.0.0.1:1' });
    expect(await failure(nowhere.json('GET', '/'))).toBe('vault_unreachable');
    nowhere.close();
  });

  test('a vault that falls silent, before its answer or in it, is given up', async () => {
    const impatient = connectWith({ idleSeconds: 0.3 });
    answer = () => undefined;
    expect(await failure(impatient.json('GET', '/'))).toBe('vault_unreachable');
    answer = (request, response) => response.writeHead(206).write(Buffer.alloc(rangeOf(request)[0] === 0 ? 10 : 0));
    const patientless = new DataClient(impatient, 'default', ours.privateKeyPem);
    expect(await failure(receive(granted({ 'model.bin': Buffer.alloc(100) }), {}, patientless))).toBe('vault_unreachable');
    impatient.close();
  });

  test('a refusal while an upload is under way is told, and ends the upload', async () => {
    answer = (_request, response) => response.writeHead(401).end('{"code":"session_expired"}');
    let [sent, ended] = [0, false];
    const endless = (async function* () {
      try {
        for (;;) {
          sent++;
          yield Buffer.alloc(MIB);
        }
      } finally {
        ended = true;
      }
    })();
    expect(await failure(https.send({ method: 'PUT', path: '/', body: endless }))).toBe('session_expired');
    expect(await until(() => ended)).toBe(true);
    const before = sent;
    await sleep(300);
    expect(sent).toBe(before);
  });

  test('an upload whose source fails is an error of the source, and not a whole', async () => {
    let whole = false;
    answer = (request) =>
      request.resume().on('end', () => {
        whole = true;
      });
    const failing = (async function* () {
      yield Buffer.alloc(1000);
      throw new VaultError('digest_mismatch', 'it changed');
    })();
    expect(await failure(https.send({ method: 'PUT', path: '/', body: failing }))).toBe('digest_mismatch');
    await sleep(100);
    expect(whole).toBe(false);
  });

  test('a refusal carries the ids under which it is on record', async () => {
    answer = (_request, response) => {
      response.writeHead(403, { 'X-Request-Id': 'req-1' }).end(JSON.stringify({ code: 'policy_denied', detail: 'no', recordId: ID }));
    };
    const error = await client.challenge().catch((refused: unknown) => refused);
    expect(error).toBeInstanceOf(RefusedError);
    expect(error).toMatchObject({ code: 'policy_denied', detail: 'no', recordId: ID, requestId: 'req-1' });
  });
});

/** JSON text that goes on for ever, as fast as it is read. */
function flood(response: ServerResponse): void {
  const piece = Buffer.alloc(MIB, ' ');
  const more = () => {
    while (!response.destroyed && response.write(piece)) {}
  };
  response.on('drain', more).write('{"code":"');
  more();
}

function cutAfter(request: IncomingMessage, response: ServerResponse, bytes: number): void {
  const [start, end] = rangeOf(request);
  response.writeHead(206, { 'Content-Length': String(end - start) }).write(Buffer.alloc(bytes), () => request.socket.destroy());
}

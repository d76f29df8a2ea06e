/** Key sets that an issuer publishes: how long they are believed, how often they are asked for, and what is not followed. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { fetchKeySet } from '../../src/attestation/jwt/fetch-key-set.ts';
import { createKeySets, type KeySets } from '../../src/attestation/jwt/key-sets.ts';
import { createJwtVerifier } from '../../src/attestation/jwt/verifier.ts';
import { DEFAULTS } from '../../src/domain/classes.ts';
import type { Clock } from '../../src/domain/clock.ts';
import { isRefusal } from '../../src/domain/evidence.ts';
import type { PublicJwk } from '../../src/domain/jwk.ts';
import { issueSelfSigned } from '../../src/identity/certificates.ts';
import { contextWith, honestClaims, KEY, makeKey, NONCE_ANCHOR, tokenOf } from './token-issuer.ts';

const NEXT = makeKey('key-2');
const setOf = (...keys: unknown[]) => new TextEncoder().encode(JSON.stringify({ keys }));
const address = { url: 'https://issuer.test/keys', ca: undefined };
const anyKey = (keys: readonly PublicJwk[]) => keys.length > 0;
const hasKid = (kid: string) => (keys: readonly PublicJwk[]) => keys.some((jwk) => jwk.kid === kid);

describe('how long a set is believed', () => {
  let nowMs = 0;
  let asked: string[] = [];
  let answer: () => Promise<Uint8Array>;
  let sets: KeySets;
  const clock: Clock = { now: () => new Date(nowMs), monotonicMs: () => nowMs };
  const wait = (seconds: number) => {
    nowMs += seconds * 1000;
  };
  const kids = async (suits = anyKey, at: Parameters<KeySets['keysOf']>[0] = address) =>
    (await sets.keysOf(at, suits)).map(({ kid }) => kid);
  const unavailable = expect.objectContaining({ code: 'issuer_unavailable' });
  const gone = () => Promise.reject(new Error('no route to host'));

  beforeEach(() => {
    nowMs = 1_000_000;
    asked = [];
    answer = async () => setOf(KEY.jwk);
    sets = createKeySets({
      clock,
      fetch: (at) => {
        asked.push(at.url);
        return answer();
      },
    });
  });

  test('it is read when it is first needed, and again after ten minutes', async () => {
    expect(await kids()).toEqual(['key-1']);
    wait(DEFAULTS.jwksCacheSeconds - 1);
    await kids();
    expect(asked).toHaveLength(1);
    answer = async () => setOf(NEXT.jwk);
    wait(1);
    expect(await kids()).toEqual(['key-2']);
    expect(asked).toHaveLength(2);
  });

  test('many who need it at once read it once', async () => {
    await Promise.all(Array.from({ length: 50 }, () => kids()));
    expect(asked).toHaveLength(1);
  });

  test('a key that is not in it is looked for at once, and at most every half minute', async () => {
    await kids();
    wait(DEFAULTS.jwksRetrySeconds);
    answer = async () => setOf(KEY.jwk, NEXT.jwk);
    expect(await kids(hasKid('key-2'))).toEqual(['key-1', 'key-2']);
    for (let at = 0; at < 100; at++) await kids(hasKid(`made-up-${at}`));
    expect(asked).toHaveLength(2);
    wait(DEFAULTS.jwksRetrySeconds);
    await kids(hasKid('made-up'));
    expect(asked).toHaveLength(3);
  });

  test('the issuer gone: an hour on the keys of before, then issuer_unavailable', async () => {
    await kids();
    answer = gone;
    wait(DEFAULTS.jwksCacheSeconds);
    expect(await kids()).toEqual(['key-1']);
    wait(DEFAULTS.jwksStaleSeconds - DEFAULTS.jwksCacheSeconds - 1);
    expect(await kids()).toEqual(['key-1']);
    wait(1);
    await expect(kids()).rejects.toEqual(unavailable);
    wait(DEFAULTS.jwksRetrySeconds);
    answer = async () => setOf(NEXT.jwk);
    expect(await kids()).toEqual(['key-2']);
  });

  test('the issuer gone and another key named: it cannot tell, rather than no', async () => {
    await kids();
    answer = gone;
    wait(DEFAULTS.jwksRetrySeconds);
    await expect(kids(hasKid('key-2'))).rejects.toEqual(unavailable);
    expect(await kids(hasKid('key-1'))).toEqual(['key-1']);
    expect(asked).toHaveLength(2);
  });

  test('never read: issuer_unavailable, and not asked again within half a minute', async () => {
    answer = gone;
    for (let at = 0; at < 20; at++) await expect(kids()).rejects.toEqual(unavailable);
    expect(asked).toHaveLength(1);
    wait(DEFAULTS.jwksRetrySeconds);
    answer = async () => setOf(KEY.jwk);
    expect(await kids()).toEqual(['key-1']);
  });

  test('whoever sent the token does not learn where the set is; the operational log does', async () => {
    answer = gone;
    const error = await sets.keysOf(address, anyKey).catch((thrown) => thrown);
    expect(error.detail).not.toContain('issuer.test');
    expect([error.cause.message, error.cause.cause.message]).toEqual(['the key set at issuer.test', 'no route to host']);
  });

  test('the same address under another authority is another set', async () => {
    await kids();
    await kids(anyKey, { ...address, ca: 'PEM' });
    expect(asked).toHaveLength(2);
  });

  test('of its keys those count that a token can be verified with', async () => {
    const { kid: _kid, ...nameless } = KEY.jwk;
    answer = async () =>
      setOf(
        { ...NEXT.jwk, use: 'enc' },
        { ...NEXT.jwk, key_ops: ['sign'] },
        { kty: 'oct', k: 'AAAA', kid: 'secret' },
        { ...NEXT.jwk, y: NEXT.jwk.x },
        makeKey('short', 'RS256', 1024).jwk,
        'key',
        null,
        { ...KEY.jwk, x5c: ['AAAA'], key_ops: ['verify'] },
        nameless,
      );
    expect(await sets.keysOf(address, anyKey)).toEqual([KEY.jwk, nameless]);
  });

  test.each<[string, Uint8Array]>([
    ['no keys', setOf()],
    ['only keys that do not count', setOf({ kty: 'oct', k: 'AAAA' })],
    ['no list', new TextEncoder().encode('{"keys":{}}')],
    ['no JSON', new TextEncoder().encode('<html>')],
    ['keys twice', new TextEncoder().encode(`{"keys":[],"keys":[${JSON.stringify(KEY.jwk)}]}`)],
    ['a hundred and one keys', setOf(...Array.from({ length: 101 }, () => KEY.jwk))],
    ['deep nesting', new TextEncoder().encode(`{"keys":${'['.repeat(5_000)}${']'.repeat(5_000)}}`)],
  ])('a set with %s is as good as none', async (_what, bytes) => {
    answer = async () => bytes;
    await expect(kids()).rejects.toEqual(unavailable);
  });

  test('a rotated key: its tokens are good as soon as they come, those of the old one until the set is read again', async () => {
    const { jwks: _jwks, ...published } = NONCE_ANCHOR;
    const context = contextWith({ ...published, jwksUrl: address.url });
    const verifier = createJwtVerifier(sets);
    const codeOf = async (token: string) => {
      const said = await verifier.verify({ token }, context);
      return isRefusal(said) ? said.code : 'verified';
    };
    const [old, fresh] = [await tokenOf(), await tokenOf(honestClaims(), {}, NEXT)];
    expect(await codeOf(old)).toBe('verified');
    expect(await codeOf(fresh)).toBe('endorsement_untrusted');
    answer = async () => setOf(NEXT.jwk);
    wait(DEFAULTS.jwksRetrySeconds);
    expect(await codeOf(old)).toBe('verified');
    expect(await codeOf(fresh)).toBe('verified');
    expect(await codeOf(old)).toBe('endorsement_untrusted');
    answer = gone;
    wait(DEFAULTS.jwksStaleSeconds);
    await expect(codeOf(fresh)).rejects.toEqual(unavailable);
  });
});

describe('reading it over https', () => {
  let folder: string;
  let ca: string;
  let server: Server;
  let port: number;
  let handle: (request: IncomingMessage, response: ServerResponse) => void;
  const requests: IncomingMessage[] = [];
  const url = (path = '/keys') => `https://127.0.0.1:${port}${path}`;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'wv-keys-'));
    const issued = await issueSelfSigned({ commonName: 'issuer', days: 1, now: new Date(), hosts: ['127.0.0.1'] });
    ca = issued.certificatePem;
    server = createServer({ cert: ca, key: issued.privateKeyPem }, (request, response) => {
      requests.push(request);
      handle(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  beforeEach(() => void requests.splice(0));
  afterEach(() => server.closeAllConnections());
  afterAll(() => {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test('a set of 256 KiB under the pinned authority', async () => {
    const body = Buffer.alloc(DEFAULTS.jwksBytes, ' ');
    handle = (_request, response) => response.end(body);
    expect((await fetchKeySet({ url: url(), ca })).length).toBe(DEFAULTS.jwksBytes);
    const [request] = requests;
    expect([request?.method, request?.url, request?.headers['accept']]).toEqual(['GET', '/keys', 'application/json']);
    expect([request?.headers.cookie, request?.headers.authorization]).toEqual([undefined, undefined]);
  });

  test('one byte more is refused, also when its length is not told', async () => {
    const body = Buffer.alloc(DEFAULTS.jwksBytes + 1, ' ');
    handle = (_request, response) => response.end(body);
    await expect(fetchKeySet({ url: url(), ca })).rejects.toThrow('larger than');
    handle = (_request, response) => {
      const more = () => {
        if (response.destroyed) return;
        response.write(Buffer.alloc(65_536));
        setImmediate(more);
      };
      more();
    };
    await expect(fetchKeySet({ url: url(), ca })).rejects.toThrow('larger than');
  });

  test.each([301, 302, 303, 307, 308, 204, 206, 404, 500])('status %i is not followed and not read', async (status) => {
    handle = (request, response) => {
      if (request.url === '/elsewhere') return response.end(setOf(KEY.jwk));
      response.writeHead(status, { Location: '/elsewhere' }).end(status === 204 ? undefined : Buffer.from(setOf(KEY.jwk)));
    };
    await expect(fetchKeySet({ url: url(), ca })).rejects.toThrow(`HTTP status ${status}`);
    expect(requests.map((one) => one.url)).toEqual(['/keys']);
  });

  test('an issuer that answers too slowly, or stops in the middle, is given up', async () => {
    handle = (_request, response) => void response.write('{"keys":[');
    await expect(fetchKeySet({ url: url(), ca })).rejects.toThrow(); // else this test does not end
    handle = (_request, response) => {
      response.writeHead(200, { 'Content-Length': '100' }).write('{');
      setImmediate(() => response.destroy());
    };
    await expect(fetchKeySet({ url: url(), ca })).rejects.toThrow();
  });

  test('a certificate that does not lead to the pinned authority, or to the system, or is of another name, is refused', async () => {
    handle = (_request, response) => response.end(setOf(KEY.jwk));
    const other = await issueSelfSigned({ commonName: 'issuer', days: 1, now: new Date(), hosts: ['127.0.0.1'] });
    await expect(fetchKeySet({ url: url(), ca: other.certificatePem })).rejects.toThrow();
    await expect(fetchKeySet({ url: url(), ca: undefined })).rejects.toThrow();
    await expect(fetchKeySet({ url: `https://localhost:${port}/keys`, ca })).rejects.toThrow();
    expect(requests).toEqual([]);
  });

  test('plain http is refused before anything is opened', async () => {
    let opened = 0;
    const plain = createHttpServer().listen(0, '127.0.0.1');
    plain.on('connection', () => opened++);
    await new Promise((resolve) => plain.once('listening', resolve));
    const { port: plainPort } = plain.address() as AddressInfo;
    for (const scheme of ['http', 'HTTP', 'file', 'data'])
      await expect(fetchKeySet({ url: `${scheme}://127.0.0.1:${plainPort}/keys`, ca })).rejects.toThrow('https only');
    expect(opened).toBe(0);
    plain.close();
  });

  test('without a pinned authority the roots of the system count, and no switch turns the check off', async () => {
    handle = (_request, response) => response.end(setOf(KEY.jwk));
    const roots = join(folder, 'roots.pem');
    writeFileSync(roots, ca);
    const module = new URL('../../src/attestation/jwt/fetch-key-set.ts', import.meta.url).href;
    const script = `import { fetchKeySet } from ${JSON.stringify(module)};
      const reading = fetchKeySet({ url: ${JSON.stringify(url())}, ca: undefined });
      reading.then((bytes) => console.log('read', bytes.length), () => console.log('refused'));`;
    const run = async (env: Record<string, string>) => {
      const { PATH } = process.env;
      const options = { env: { ...(PATH && { PATH }), ...env } };
      const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', '--input-type=module', '-e', script], options);
      return stdout.trim();
    };
    expect(await run({ SSL_CERT_FILE: roots })).toMatch(/^read \d+$/);
    expect(await run({ NODE_TLS_REJECT_UNAUTHORIZED: '0' })).toBe('refused');
  });
});

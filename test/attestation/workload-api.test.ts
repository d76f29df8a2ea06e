/**
 * The SPIFFE Workload API, asked of an agent that is not ours: the published service definition over grpc-go (workload-agent/main.go). What it gives is
 * shown as evidence and verified under its authorities.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createSpiffeAttester } from '../../src/attestation/spiffe/attester.ts';
import { fieldsOf, textField } from '../../src/attestation/spiffe/protobuf.ts';
import { createSpiffeVerifier } from '../../src/attestation/spiffe/verifier.ts';
import { fetchJwtSvid, fetchX509Svid } from '../../src/attestation/spiffe/workload-api.ts';
import { createRequester, withRequester } from '../../src/cli/requester.ts';
import type { SpiffeAnchor } from '../../src/domain/evidence.ts';
import type { PublicJwk } from '../../src/domain/jwk.ts';
import { issueSelfSigned } from '../../src/identity/certificates.ts';
import { keeping, workloadContext } from './workload-context.ts';

const AGENT = join(import.meta.dirname, '..', '..', '.cache', 'workload-agent', 'workload-agent');
const ID = 'spiffe://prod.example/web';
const folder = mkdtempSync(join(tmpdir(), 'wv-spiffe-'));
const challenge = { challengeNonce: new Uint8Array(32), spki: new Uint8Array(0) };
afterAll(() => rmSync(folder, { recursive: true, force: true }));

if (!existsSync(AGENT)) {
  test.skip('not run: no Go here to build workload-agent with (npm test brings it where apt may)', () => undefined);
} else {
  describe('an agent', () => {
    const endpoint = `unix://${join(folder, 'agent.sock')}`;
    let agent: ChildProcess;
    let anchor: SpiffeAnchor;
    beforeAll(async () => {
      agent = spawn(AGENT, [join(folder, 'agent.sock'), ID], { stdio: ['pipe', 'pipe', 'inherit'] });
      if (agent.stdout === null) throw new Error('no pipe');
      const [line = ''] = await new Promise<string[]>((done) =>
        createInterface({ input: agent.stdout as never }).once('line', (...all) => done(all)),
      );
      const { authority, jwk } = JSON.parse(line) as { authority: string; jwk: PublicJwk };
      const bundle = { x509Authorities: [authority], jwtAuthorities: { keys: [jwk] }, audience: 'vault' };
      anchor = { kind: 'spiffe', name: 'prod', trustDomain: 'prod.example', ...bundle };
    });
    afterAll(() => {
      agent?.stdin?.end();
    });

    const verify = (body: Readonly<Record<string, unknown>>, spki: Uint8Array) => {
      const known = workloadContext({
        ...{ kind: 'spiffe', identity: { fact: 'spiffeId', value: ID } },
        ...{ anchors: [anchor], collateral: keeping({}), now: new Date() },
      });
      return createSpiffeVerifier().verify(body, { ...known, spki, spendTokenId: async () => true });
    };

    test('gives an X.509-SVID with its key, which is verified as the key of the connection', async () => {
      const { certificates, privateKey } = await fetchX509Svid(endpoint);
      expect(certificates).toHaveLength(2);
      const spki = createPublicKey(createPrivateKey(privateKey)).export({ type: 'spki', format: 'der' });
      const body = await createSpiffeAttester({ chain: certificates }).attest(new Uint8Array(0), challenge);
      expect(await verify(body, spki)).toMatchObject({ facts: { spiffeId: ID, document: 'X.509-SVID' }, proved: { keyBound: true } });
    });

    test('gives a new JWT-SVID for each use, for the audience that was asked', async () => {
      const attester = createSpiffeAttester({ workloadApi: endpoint, audience: 'vault' });
      const bodies = [await attester.attest(new Uint8Array(0), challenge), await attester.attest(new Uint8Array(0), challenge)];
      expect(bodies[0]).not.toEqual(bodies[1]);
      for (const body of bodies) expect(await verify(body, new Uint8Array(0))).toMatchObject({ facts: { document: 'JWT-SVID' } });
      const foreign = await createSpiffeAttester({ workloadApi: endpoint, audience: 'elsewhere' }).attest(new Uint8Array(0), challenge);
      expect(await verify(foreign, new Uint8Array(0))).toMatchObject({ code: 'evidence_binding_mismatch' });
    });

    test('that gives none says why', async () => {
      await expect(fetchJwtSvid(endpoint, 'nobody')).rejects.toThrow(/status 7: no identity issued/);
    });

    test('is what a requester connects with: the folder holds no key', async () => {
      const home = join(folder, 'me');
      const { certificatePem } = await issueSelfSigned({ commonName: 'vault', days: 1, now: new Date(), hosts: ['127.0.0.1'] });
      const where = { url: 'https://127.0.0.1:1', namespace: 'prod' };
      await createRequester(home, { ...where, kind: 'spiffe', workloadApi: endpoint }, Buffer.from(certificatePem));
      expect(existsSync(join(home, 'tls.key'))).toBe(false);
      const body = await withRequester(home, ({ attester }) => attester.attest(new Uint8Array(0), challenge));
      const [leaf = ''] = body['certificates'] as string[];
      expect(new X509Certificate(Buffer.from(leaf, 'base64')).subjectAltName).toBe(`URI:${ID}`);
    });
  });
}

describe('the Workload API', () => {
  test.each(['tcp://127.0.0.1:1', 'agent.sock', 'unix:agent.sock', ''])('is never asked over "%s"', async (endpoint) => {
    await expect(fetchX509Svid(endpoint)).rejects.toThrow('is no unix socket');
  });

  test('that is not there, or is something else, is a mistake that names it', async () => {
    await expect(fetchX509Svid(`unix://${join(folder, 'nothing.sock')}`)).rejects.toThrow('nothing.sock');
    const server = createServer((socket) =>
      socket
        .on('error', () => undefined)
        .resume()
        .end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    );
    await new Promise<void>((done) => server.listen(join(folder, 'other.sock'), done));
    try {
      await expect(fetchX509Svid(`unix://${join(folder, 'other.sock')}`)).rejects.toMatchObject({ code: 'usage' });
    } finally {
      await new Promise((done) => server.close(done));
    }
  });
});

describe('a message', () => {
  test('is read by its fields, whatever stands between them', () => {
    const message = Buffer.concat([
      Buffer.from('0801', 'hex'),
      textField(1, 'a'),
      Buffer.from('1500000000', 'hex'),
      textField(2, 'b'),
      textField(1, 'c'.repeat(300)),
    ]);
    expect(fieldsOf(message, 1).map((field) => Buffer.from(field).toString())).toEqual(['a', 'c'.repeat(300)]);
    expect(fieldsOf(message, 3)).toEqual([]);
  });

  test.each(['0a', '0a05', '0affffffffff', '0b', '09', '0a8080808080'])('that is cut short or none (%s) is refused', (hex) => {
    expect(() => fieldsOf(Buffer.from(hex, 'hex'), 1)).toThrow('message');
  });
});

/** A requester that shows tokens, from `wv anchors set` to the bytes on its disk: real processes, a real issuer behind TLS, no TPM on its side. */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { SUBJECT } from '../attestation/token-issuer.ts';
import { anchorFor, type Issuer, startIssuer } from '../vault/jwt-machine.ts';
import { LARGE, MODEL, newRelease, type RealVault, refusal, startRealVault, withRequester, wv, wvJson } from './real-vault.ts';

/** What an operator would write: asks "the verifier" (here: its key) for a token over the nonce, and prints it. */
const GET_TOKEN = `
import { createPrivateKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
const [keyFile, issuer, subject] = process.argv.slice(2);
const now = Math.floor(Date.now() / 1000);
const claims = { iss: issuer, aud: 'weight-vault', sub: subject, iat: now, exp: now + 60, eat_nonce: process.env.WV_NONCE, image: 'sha256:golden' };
const text = [{ alg: 'ES256', kid: 'key-1' }, claims].map((one) => Buffer.from(JSON.stringify(one)).toString('base64url')).join('.');
const key = { key: createPrivateKey(readFileSync(keyFile)), dsaEncoding: 'ieee-p1363' };
console.log(text + '.' + sign('sha256', Buffer.from(text), key).toString('base64url'));
`;

let vault: RealVault;
let issuer: Issuer;
let machine: string;

beforeAll(async () => {
  [vault, issuer] = await Promise.all([startRealVault(), startIssuer()]);
  await vault.promote();
  machine = vault.at('token-machine');
});
afterAll(async () => {
  issuer?.close();
  await vault?.stop();
});

/** alice with `wv`, and another person. */
async function trust(over: object): Promise<void> {
  const { jwksCa, ...rest } = anchorFor(issuer, over);
  writeFileSync(vault.at('issuer-ca.pem'), jwksCa ?? '');
  writeFileSync(vault.at('issuer.json'), JSON.stringify({ ...rest, jwksCaFile: 'issuer-ca.pem' }));
  const asked = await wvJson('anchors', 'set', '--kit', vault.kit('alice'), vault.at('issuer.json'));
  await vault.approve({ requestId: String(asked['requestId']), operationDigest: String(asked['operationDigest']) });
}
const fetchArgs = (out: string) => [
  'fetch',
  '--requester',
  machine,
  '--model',
  MODEL,
  '--version',
  vault.versionId,
  '--out',
  vault.at(out),
];

test('an issuer nobody trusts cannot have anyone enrolled', async () => {
  const args = ['enrol', 'token', '--kit', vault.kit('alice'), '--name', 'web', '--issuer', issuer.url, '--subject', SUBJECT];
  const { exit, err } = await wv(...args);
  expect([exit, err]).toEqual([3, expect.stringContaining('endorsement_untrusted')]);
});

test('a requester is enrolled, attests, and is told that its token is not enough for this class', async () => {
  await trust({});
  const golden = { id: 'golden-image', kind: 'jwt', issuer: issuer.url, claims: { image: ['sha256:golden'] } };
  await vault.propose('reference-values', { values: [golden] });
  const enrolArgs = ['--name', 'web', '--issuer', issuer.url, '--subject', SUBJECT, '--attribute', 'fleet=production'];
  const enrolled = await wvJson('enrol', 'token', '--kit', vault.kit('alice'), ...enrolArgs);
  expect(enrolled).toMatchObject({ name: 'web', kind: 'jwt', issuer: issuer.url, subject: SUBJECT });

  writeFileSync(vault.at('get-token.mjs'), GET_TOKEN);
  const [key] = issuer.keys;
  writeFileSync(vault.at('issuer.pem'), key?.privateKey.export({ type: 'pkcs8', format: 'pem' }) ?? '', { mode: 0o600 });
  const command = [process.execPath, vault.at('get-token.mjs'), vault.at('issuer.pem'), issuer.url, SUBJECT].join(' ');
  const initArgs = ['--url', `https://127.0.0.1:${vault.server.dataPort}`, '--vault-certificate', vault.at('vault', 'tls', 'data.crt')];
  await wvJson('attester', 'init', '--requester', machine, ...initArgs, '--kind', 'jwt', '--token-command', command);

  const { exit, err } = await wv(...fetchArgs('too-little'));
  expect([exit, err]).toEqual([3, expect.stringContaining('class_demands_unmet')]);
  expect(issuer.reads).toBeGreaterThan(0);
});

test('once two people have said that the issuer vouches for hardware, it receives every byte', async () => {
  await trust({ hardware: true });
  const got = await wvJson(...fetchArgs('received'));
  for (const [path, bytes] of vault.model) expect(readFileSync(vault.at('received', path)).equals(bytes)).toBe(true);
  expect(got['bytes']).toBe([...vault.model.values()].reduce((sum, bytes) => sum + bytes.length, 0));
  await withRequester(machine, async (one) => {
    const { releaseId } = await newRelease(one, vault.versionId);
    expect((await one.client.object(releaseId, LARGE, { start: 0, end: 1 })).resume().statusCode).toBe(206);
  });
});

test('evidence made for another challenge is refused over the wire too', async () => {
  await withRequester(machine, async ({ client, attester }) => {
    const [one, two] = [await client.challenge(), await client.challenge()];
    const evidence = [await client.evidence(one, attester)];
    expect(await refusal(() => client.release(MODEL, vault.versionId, two.id, evidence))).toBe('evidence_binding_mismatch');
    expect(await refusal(() => client.release(MODEL, vault.versionId, one.id, [{ kind: 'jwt', body: { token: 'a.b.c' } }]))).toBe(
      'evidence_malformed',
    );
  });
});

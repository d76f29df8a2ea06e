/** A new administrator, from an empty folder to the first login, with nothing pretended: `wv` as processes, SoftHSM, mutual TLS. */

import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { withKit } from '../../src/cli/kit.ts';
import { codeOf as errorCode } from '../../src/domain/errors.ts';
import { Codes } from '../harness/codes.ts';
import { patiently, type RealVault, startRealVault, startServer, wv, wvJson } from './real-vault.ts';

let vault: RealVault;
let dave: Codes;
beforeAll(async () => {
  vault = await startRealVault();
});
afterAll(() => vault?.stop());

const kit = (name: string) => ['--kit', name === 'dave' ? vault.at('dave') : vault.kit(name as 'alice')];
const codeOf = ({ exit, err }: { exit: number | null; err: string }) =>
  `${exit} ${/"code":"([a-z_]+)"/.exec(err.trim().split('\n').at(-1) ?? '')?.[1] ?? err}`;
const refused = async (...args: string[]) => codeOf(await wv(...args, '--json'));
const approved = (asked: Record<string, unknown>) =>
  vault.approve({ requestId: String(asked['requestId']), operationDigest: String(asked['operationDigest']) }, 'system');

describe('a newcomer', () => {
  test('makes a kit: a key that stays, a certificate to give away', async () => {
    const { url } = JSON.parse(readFileSync(join(vault.kit('alice'), 'kit.json'), 'utf8'));
    const certificate = join(vault.folder, 'tls', 'admin.crt');
    const make = ['admin', 'kit', '--out', vault.at('dave'), '--name', 'dave', '--url', url, '--vault-certificate', certificate];
    const made = await wvJson(...make);
    expect(made).toMatchObject({ administrator: 'dave', workstation: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(await refused(...make)).toBe('2 usage'); // a kit is never overwritten
  });

  test('cannot claim anything before two people let them in', async () => {
    expect(await refused('admin', 'claim', ...kit('dave'))).toBe('3 claim_refused');
    expect(await refused('login', ...kit('dave'), '--code', '123456')).toBe('3 login_refused');
  });

  test('is let in by two people, and then sees their own seed, once', async () => {
    const person = ['--name', 'dave', '--role', 'registrar', '--workstation-cert', join(vault.at('dave'), 'workstation.crt')];
    await approved(await wvJson('admin', 'add', ...kit('alice'), ...person));
    const { uri } = await wvJson('admin', 'claim', ...kit('dave'));
    dave = new Codes(String(uri));
    expect(await refused('admin', 'claim', ...kit('dave'))).toBe('3 claim_refused');
    expect(await refused('admin', 'confirm', ...kit('dave'), '--code', '12345')).toBe('3 login_refused');
    expect(await wvJson('admin', 'confirm', ...kit('dave'), '--code', await dave.next())).toEqual({ administrator: 'dave' });
  });

  test('logs in once with one code, shown at once to two processes on one database', async () => {
    const second = await startServer(vault.secondFolder('second'), 'admin');
    const [here, there] = [vault.at('dave'), vault.at('dave-there')];
    cpSync(here, there, { recursive: true });
    const file = join(there, 'kit.json');
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), url: `https://127.0.0.1:${second.adminPort}` }));
    const code = await dave.next();
    const logIn = (folder: string) =>
      withKit(folder, async (one) => {
        await one.https.json('GET', '/v1/health/live'); // connected: what follows is sent at once
        return patiently(() => one.https.json('POST', '/v1/session', { administrator: 'dave', code })).catch((error) => errorCode(error));
      });
    const answers = await Promise.all([here, there, here, there].map(logIn));
    const opened = answers.filter((one) => typeof one === 'object');
    expect([opened.length, answers.filter((one) => one === 'login_refused').length]).toEqual([1, 3]);
    await second.stop();
    await withKit(here, (one) => one.saveSession((opened[0] as { token: string }).token));
  });

  test('is on the list', async () => {
    const { administrators } = await wvJson('admin', 'list', ...kit('dave'));
    expect(administrators).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: 'dave', state: 'active', roles: ['registrar'], authenticator: { kind: 'totp' } }),
      ]),
    );
  });
});

describe('a request', () => {
  test('of one person is cancelled by them, and then nobody approves it', async () => {
    const asked = await wvJson('admin', 'change', ...kit('dave'), 'dave', '--role', 'registrar', '--role', 'approver');
    const { requests } = await wvJson('requests', ...kit('alice'), '--namespace', 'system');
    expect(requests).toEqual([
      expect.objectContaining({
        requestId: asked['requestId'],
        requester: 'dave',
        summary: expect.stringContaining('administrator dave as registrar, approver'),
      }),
    ]);
    const cancelled = await wvJson('cancel', ...kit('dave'), '--namespace', 'system', String(asked['requestId']));
    expect(cancelled['state']).toBe('cancelled');
    const approve = ['approve', ...kit('bob'), '--namespace', 'system', String(asked['requestId']), String(asked['operationDigest'])];
    expect(await refused(...approve)).toBe('3 approval_settled');
  });

  test('is approved with a code for it alone: without one `wv` asks, and a wrong one is refused', async () => {
    const asked = await wvJson('admin', 'reset-authenticator', ...kit('alice'), '--code', await vault.code('alice'), 'dave');
    const approve = ['approve', ...kit('bob'), '--namespace', 'system', String(asked['requestId']), String(asked['operationDigest'])];
    const without = await wv(...approve, '--json');
    expect(codeOf(without)).toBe('2 usage'); // no terminal to ask at
    expect(without.err).toContain(String(asked['operationDigest']));
    expect(await refused(...approve, '--code', '00 000')).toBe('3 login_refused');
    await approved(asked);
  });

  test('whose authenticator was taken away is out until they claim another', async () => {
    expect(await refused('admin', 'list', ...kit('dave'))).toBe('3 session_missing');
    expect(await refused('login', ...kit('dave'), '--code', await dave.next())).toBe('3 login_refused');
    const { uri } = await wvJson('admin', 'claim', ...kit('dave'));
    const another = new Codes(String(uri));
    await wvJson('admin', 'confirm', ...kit('dave'), '--code', await another.next());
    await wvJson('login', ...kit('dave'), '--code', await another.next());
    expect(await refused('admin', 'remove', ...kit('alice'), 'bob')).toBe('2 usage'); // it asks first, or wants --yes
  });
});

test('the log of it verifies', async () => {
  await wvJson('log', 'export', vault.at('log'), ...kit('bob'));
  expect(await wvJson('log', 'verify', vault.at('log'), '--vkey', vault.vkey)).toMatchObject({ ok: true });
});

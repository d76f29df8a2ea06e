/** The HSM is lost: a quorum brings the vault back into another one. A drill with nothing pretended: SoftHSM, `wv keys ceremony`, files on paper. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { setupDevelopmentToken } from '../../softhsm/setup.ts';
import { withKit } from '../../src/cli/kit.ts';
import { Codes } from '../harness/codes.ts';
import { APPROVERS, MODEL, type RealVault, startRealVault, until, wv, wvJson } from './real-vault.ts';

let vault: RealVault;
let machine: string;
beforeAll(async () => {
  vault = await startRealVault();
  machine = await vault.enrolled('gpu-node-1');
  await vault.promote();
});
afterAll(() => vault?.stop());

const alice = () => ['--kit', vault.kit('alice')];
const share = (number: number, of = 'recovery') => vault.at(of, `share-${number}.txt`);
const fetchAll = (name: string) =>
  wvJson('fetch', '--requester', machine, '--model', MODEL, '--version', vault.versionId, '--out', vault.at(name));

test('a recovery key is made offline, two people put it in force, and what is stored is wrapped for it too', async () => {
  const { keyId } = await wvJson('keys', 'ceremony', 'make', '--shares', '5', '--needed', '3', vault.at('recovery'));
  expect(readFileSync(share(1), 'utf8')).toContain('share 1 of 5, 3 needed');
  expect(await wvJson('keys', 'ceremony', 'check', share(2), share(4), share(5))).toMatchObject({ keyId, good: true });
  const asked = await wvJson(
    'keys',
    'ceremony',
    'set',
    ...alice(),
    '--code',
    await vault.code('alice'),
    vault.at('recovery', 'recovery-key.json'),
  );
  await vault.approve(asked as never, 'system');
  const status = () => wvJson('keys', 'ceremony', 'status', ...alice());
  expect(await until(async () => (await status())['wrapped'] === 1)).toBe(true);
  expect(await status()).toMatchObject({ keyId, state: 'active', wrapped: 1, versions: 1 });
});

test('a receipt is kept, and an archive of a period that two people closed', async () => {
  const release = ['--requester', machine, '--model', MODEL, '--version', vault.versionId];
  await wvJson('fetch', ...release, '--out', vault.at('before'), '--receipt', vault.at('before.receipt'));
  const period = ['--vkey', vault.vkey, '--until', new Date().toISOString(), vault.at('archive')];
  const close = () => wvJson('log', 'close', '--kit', vault.kit('bob'), ...period);
  await vault.approve((await close()) as never, 'system', 'bob');
  expect(await close()).toMatchObject({ closed: true });
});

test('the token is gone: too few shares, wrong ones or mistyped ones recover nothing; three of five do, and everything goes on', async () => {
  await vault.server.stop();
  rmSync(vault.tokenFolder, { recursive: true });
  await expect(vault.serve()).rejects.toThrow();

  const token = await setupDevelopmentToken({ folder: vault.at('token-2'), label: 'weight-vault-new' });
  writeFileSync(vault.at('token-2.json'), JSON.stringify(token));
  const config = join(vault.folder, 'vault.json');
  const before = readFileSync(config, 'utf8');
  const restore = (...shares: string[]) =>
    wv('keys', 'ceremony', 'restore', '--config', config, '--token', vault.at('token-2.json'), '--yes', '--json', ...shares);
  await wvJson('keys', 'ceremony', 'make', '--shares', '5', '--needed', '3', vault.at('others'));
  writeFileSync(
    vault.at('mistyped.txt'),
    readFileSync(share(5), 'utf8').replace(/(check )(.)/, (_, check, one) => check + (one === 'A' ? 'B' : 'A')),
  );
  // A node's lease outlives it by seconds, and while a vault may serve, nothing is brought back under it.
  const others = [share(1, 'others'), share(2, 'others'), share(3, 'others')];
  expect(await until(async () => !(await restore(...others)).err.includes('a moment ago'))).toBe(true);
  for (const [shares, code] of [
    [[share(1), share(2)], 'recovery_shares_too_few'],
    [[share(1), share(2), share(2)], 'recovery_shares_too_few'],
    [[share(1), share(2), share(3, 'others')], 'recovery_share_invalid'],
    [others, 'recovery_share_invalid'],
    [[share(1), share(2), vault.at('mistyped.txt')], 'recovery_share_invalid'],
  ] as const) {
    const { exit, err } = await restore(...shares);
    expect([exit === 0, err.includes(code) ? code : err]).toEqual([false, code]);
  }
  expect(readFileSync(config, 'utf8')).toBe(before);

  const { exit, out, err } = await restore(share(5), share(1), share(4));
  expect([exit, exit === 0 ? '' : err]).toEqual([0, '']);
  const recovered = JSON.parse(out.trim().split('\n').at(-1) ?? '{}') as {
    recovered: number;
    lost: unknown[];
    vkey: string;
    people: string[];
  };
  expect(recovered).toMatchObject({ recovered: 1, lost: [] });
  expect([...recovered.people].sort()).toEqual(['alice', ...APPROVERS].sort());

  await vault.serve();
  await fetchAll('recovered'); // the machine was enrolled, the model promoted and the policies signed under the lost keys
  for (const [path, bytes] of vault.model) expect(readFileSync(vault.at('recovered', path)).equals(bytes)).toBe(true);

  // A person sets up a new authenticator on the workstation they had, and reads the log: one log, under a new key.
  await withKit(vault.kit('bob'), async ({ https, saveSession }) => {
    const { uri } = (await https.json('POST', '/v1/authenticator', { administrator: 'bob' })) as { uri: string };
    const codes = new Codes(uri);
    await https.json('POST', '/v1/authenticator/confirm', { administrator: 'bob', code: await codes.next() });
    const { token: session } = (await https.json('POST', '/v1/session', { administrator: 'bob', code: await codes.next() })) as {
      token: string;
    };
    await saveSession(session);
  });
  await wvJson('log', 'export', '--kit', vault.kit('bob'), vault.at('log-after'));
  expect(await wvJson('log', 'verify', '--vkey', recovered.vkey, vault.at('log-after'))).toMatchObject({ ok: true });
  expect((await wv('log', 'verify', '--vkey', vault.vkey, vault.at('log-after'))).exit).not.toBe(0);
  // What was kept needs the key of before and nothing else; the log of after is proven to continue it.
  const old = ['--vkey', vault.vkey];
  expect(await wvJson('receipt', 'verify', ...old, vault.at('before.receipt'))).toMatchObject({ record: { type: 'release.begin' } });
  expect(await wvJson('log', 'verify', ...old, vault.at('archive'))).toMatchObject({ ok: true, closed: {} });
  const continued = ['log', 'verify', '--vkey', recovered.vkey, '--after', vault.at('archive'), vault.at('log-after')];
  expect(await wvJson(...continued, '--after-vkey', vault.vkey)).toMatchObject({ ok: true });
  expect((await wv(...continued)).exit).toBe(5);
  const { keks } = (await wvJson('keys', 'show', '--kit', vault.kit('bob'))) as {
    keks: Array<{ version: number; state: string; wrapped: number }>;
  };
  expect(keks).toMatchObject([
    { version: 1, state: 'compromised', wrapped: 0 },
    { version: 2, state: 'active', wrapped: 2 }, // the model, and bob
  ]);
});

/** A vault made on SoftHSM moves its keys to AWS KMS while it has weights to give out, with nothing pretended but AWS itself. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { noKms, startKms, type TestKms } from '../harness/kms.ts';
import { MODEL, type RealVault, type ServerProcess, startRealVault, wv, wvJson } from './real-vault.ts';

const WV = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

(noKms === undefined ? describe : describe.skip)(noKms ?? 'a vault that moves to AWS KMS', () => {
  let kms: TestKms;
  let vault: RealVault;
  let machine: string;
  let former: ChildProcess | undefined;
  let server: ServerProcess;
  beforeAll(async () => {
    [kms, vault] = await Promise.all([startKms(), startRealVault()]);
    machine = await vault.enrolled('gpu-node-1');
    await vault.promote();
  });
  afterAll(async () => {
    await vault?.stop();
    former?.kill();
    await kms?.stop();
  });

  const alice = () => ['--kit', vault.kit('alice')];
  const keks = async () => (await wvJson('keys', 'show', ...alice()))['keks'] as Array<{ version: number; state: string; wrapped: number }>;
  const fetchWhole = async (name: string) => {
    await wvJson('fetch', '--requester', machine, '--model', MODEL, '--version', vault.versionId, '--out', vault.at(name));
    for (const [path, bytes] of vault.model) expect(readFileSync(join(vault.at(name), path)).equals(bytes)).toBe(true);
  };

  /** `wv keeper` for the token that the vault was made on. */
  function startFormer(): Promise<string> {
    const { token } = JSON.parse(readFileSync(join(vault.folder, 'vault.json'), 'utf8'));
    const at = (path: string) => resolve(vault.folder, path);
    mkdirSync(vault.at('former'), { mode: 0o700 });
    const socket = vault.at('former', 'keeper.sock');
    const keeper = {
      module: token.module,
      tokenLabel: token.label,
      pinFile: at(token.pinFile),
      softhsmConf: at(token.softhsmConf),
      socket,
    };
    writeFileSync(vault.at('former.json'), JSON.stringify(keeper), { mode: 0o600 });
    const args = ['--disable-warning=ExperimentalWarning', WV, 'keeper', '--config', vault.at('former.json'), '--json'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    former = child;
    return new Promise((done) => createInterface({ input: child.stdout }).once('line', () => done(socket)));
  }

  test('with the former keeper beside it, it starts on KMS and serves what is still wrapped in the token', async () => {
    await vault.server.stop();
    const formerKeeper = await startFormer();
    const file = join(vault.folder, 'vault.json');
    const { token: _, ...config } = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...config, kms: kms.config, formerKeeper }));
    server = await vault.serve();
    await fetchWhole('before');
  });

  test('a rotation is the move: the next version is a KMS key, and everything is rewrapped under it', async () => {
    const wrapped = (await keks())[0]?.wrapped ?? 0; // one version, and the seed of each person
    await vault.approve((await wvJson('keys', 'rotate', '--code', await vault.code('alice'), ...alice())) as never, 'system');
    const moved = [expect.objectContaining({ version: 1, wrapped: 0 }), expect.objectContaining({ version: 2, state: 'active', wrapped })];
    for (let waited = 0; (await keks())[0]?.wrapped !== 0 && waited < 60; waited++) await sleep(500);
    expect(wrapped).toBeGreaterThan(4);
    expect(await keks()).toEqual(moved);
    expect(kms.asked.filter(({ operation }) => operation === 'ReEncrypt')).toEqual([]); // nothing of it was in KMS before
    await fetchWhole('after');
  });

  test('the log goes on under the key that signed it from the beginning, and verifies', async () => {
    await wvJson('log', 'export', vault.at('log'), '--kit', vault.kit('bob'));
    expect(await wvJson('log', 'verify', vault.at('log'), '--vkey', vault.vkey)).toMatchObject({ ok: true });
  });

  test('without the former keeper it does not start: its signing keys are there', async () => {
    await server.stop();
    former?.kill();
    former = undefined;
    const refused = await wv('serve', '--folder', vault.folder, '--json');
    expect(refused.exit).not.toBe(0);
    expect(refused.err).toContain('keeper_unavailable');
  });
});

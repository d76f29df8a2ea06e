/** A vault made on SoftHSM moves to AWS KMS while it has weights to give out, until the token can be destroyed; nothing is pretended but AWS itself. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readLeaves } from '../../deploy/demo/records.ts';
import { openCheckpoint } from '../../src/audit/checkpoint.ts';
import { leafHash, treeRoot } from '../../src/audit/merkle.ts';
import { parseVkey } from '../../src/audit/vkey.ts';
import { noKms, startKms, type TestKms } from '../harness/kms.ts';
import { MODEL, type RealVault, type ServerProcess, startRealVault, until, wv, wvJson } from './real-vault.ts';

const WV = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

(noKms === undefined ? describe : describe.skip)(noKms ?? 'a vault that moves to AWS KMS', () => {
  let kms: TestKms;
  let vault: RealVault;
  let machine: string;
  let former: ChildProcess | undefined;
  let server: ServerProcess;
  /** vault.json as `wv init` made it. */
  let made: { readonly token: Readonly<Record<string, string>> };
  beforeAll(async () => {
    [kms, vault] = await Promise.all([startKms(), startRealVault()]);
    machine = await vault.enrolled('gpu-node-1');
    await vault.promote();
    made = JSON.parse(readFileSync(configFile(), 'utf8'));
  });
  afterAll(async () => {
    await vault?.stop();
    former?.kill();
    await kms?.stop();
  });

  const configFile = () => join(vault.folder, 'vault.json');
  const alice = () => ['--kit', vault.kit('alice')];
  const keks = async () => (await wvJson('keys', 'show', ...alice()))['keks'] as Array<{ version: number; state: string; wrapped: number }>;
  const fetchWhole = async (name: string) => {
    const named = ['--model', MODEL, '--version', vault.versionId, '--out', vault.at(name), '--receipt', vault.at(`${name}.receipt`)];
    await wvJson('fetch', '--requester', machine, ...named);
    for (const [path, bytes] of vault.model) expect(readFileSync(join(vault.at(name), path)).equals(bytes)).toBe(true);
  };

  /** What the key before signed last is the beginning of the log as it is now, and its last record names the key after. */
  async function expectNamed(vkey: string, last: Uint8Array, exported: string): Promise<void> {
    const { size, root } = openCheckpoint(last, parseVkey(vault.vkey));
    const leaves = (await readLeaves(exported)).slice(0, size).map(({ bundle, offset }) => {
      const bytes = readFileSync(join(exported, bundle));
      return bytes.subarray(offset, offset + bytes.readUInt16BE(offset - 2));
    });
    expect(treeRoot(leaves.map(leafHash))).toEqual(root);
    expect(JSON.parse(String(leaves.at(-1)))).toMatchObject({
      type: 'signing.rotated',
      detail: vkey,
      key: { id: 'access-log', version: 2 },
    });
  }

  /** `wv keeper` for the token that the vault was made on. */
  function startFormer(): Promise<string> {
    const { token } = made;
    const at = (path = '') => resolve(vault.folder, path);
    mkdirSync(vault.at('former'), { mode: 0o700, recursive: true });
    const socket = vault.at('former', 'keeper.sock');
    const keeper = {
      module: token['module'],
      tokenLabel: token['label'],
      pinFile: at(token['pinFile']),
      softhsmConf: at(token['softhsmConf']),
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
    const { token: _, ...config } = made;
    writeFileSync(configFile(), JSON.stringify({ ...config, kms: kms.config, formerKeeper }));
    server = await vault.serve();
    await fetchWhole('before');
  });

  test('a rotation is the move: the next version is a KMS key, and everything is rewrapped under it', async () => {
    const wrapped = (await keks())[0]?.wrapped ?? 0; // one version, and the seed of each person
    await vault.approve((await wvJson('keys', 'rotate', '--code', await vault.code('alice'), ...alice())) as never, 'system');
    const moved = [expect.objectContaining({ version: 1, wrapped: 0 }), expect.objectContaining({ version: 2, state: 'active', wrapped })];
    expect(await until(async () => (await keks())[0]?.wrapped === 0)).toBe(true);
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

  test('new signing keys are made in KMS; then the token is destroyed, and everything goes on: weights, people, documents, the log', async () => {
    await startFormer();
    const before = readFileSync(configFile());
    let rotated = { exit: -1 as number | null, out: '', err: '' };
    const tried = async () => {
      rotated = await wv('keys', 'rotate-signing', '--config', configFile(), '--yes', '--json');
      return !rotated.err.includes('a moment ago');
    };
    expect(await until(tried)).toBe(true);
    expect([rotated.exit, rotated.err]).toEqual([0, '']);
    const { vkey, lastCheckpoint, left } = JSON.parse(rotated.out) as { vkey: string; lastCheckpoint: string; left: string[] };
    expect(left).toEqual(['kek-default/1']);
    const elsewhere = await wv('keys', 'rotate-signing', '--config', configFile(), '--former', vault.at('former', 'keeper.sock'), '--yes');
    expect([elsewhere.exit, elsewhere.err]).toEqual([2, expect.stringContaining('is not in that HSM')]);
    former?.kill();
    former = undefined;
    rmSync(vault.tokenFolder, { recursive: true });
    expect(JSON.parse(readFileSync(configFile(), 'utf8'))).not.toHaveProperty('formerKeeper');

    const now = readFileSync(configFile());
    renameSync(configFile(), `${configFile()}.signing`); // as if it had been interrupted at the last moment
    writeFileSync(configFile(), before);
    expect(await wvJson('keys', 'rotate-signing', '--config', configFile())).toMatchObject({ completed: true });
    expect(readFileSync(configFile())).toEqual(now);

    server = await vault.serve();
    await fetchWhole('without'); // enrolled, promoted and permitted under the keys before
    await vault.as('bob', (kit) => kit.call('GET', '/v1/keys')); // whose seed moved with the rest
    await vault.approve((await wvJson('keys', 'rotate', ...alice())) as never, 'system'); // documents are signed, and people log in with what they had
    await until(async () => (await keks()).at(-1)?.wrapped !== 0 && (await keks()).at(-2)?.wrapped === 0);
    expect((await keks()).map(({ state }) => state)).toEqual(['deactivated', 'deactivated', 'active']);
    await fetchWhole('rotated');

    await wvJson('log', 'export', vault.at('log-after'), '--kit', vault.kit('bob'));
    expect(await wvJson('log', 'verify', vault.at('log-after'), '--vkey', vkey)).toMatchObject({ ok: true });
    expect((await wv('log', 'verify', vault.at('log-after'), '--vkey', vault.vkey)).exit).not.toBe(0);
    await expectNamed(vkey, readFileSync(lastCheckpoint), vault.at('log-after'));
    expect(await wvJson('receipt', 'verify', vault.at('before.receipt'), '--vkey', vault.vkey)).toMatchObject({ size: expect.any(Number) });
  });
});

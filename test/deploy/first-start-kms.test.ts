/** The ceremony of docker-compose.yml with AWS KMS in place of a token, as one user: who owns what is shown by two-users.test.ts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startServer, until, wv } from '../e2e/real-vault.ts';
import { noKms, startKms, type TestKms } from '../harness/kms.ts';

const SCRIPT = fileURLToPath(new URL('../../deploy/container/first-start.ts', import.meta.url));
const WV = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

(noKms === undefined ? describe : describe.skip)(noKms ?? 'a first start with kms.json', () => {
  const root = mkdtempSync(join(tmpdir(), 'wv-first-start-'));
  const at = (...parts: string[]) => join(root, ...parts);
  let kms: TestKms;
  let keeper: ChildProcess | undefined;
  beforeAll(async () => {
    kms = await startKms();
    for (const folder of ['keys', 'handover', 'run']) mkdirSync(at(folder), { mode: 0o700 });
    copyFileSync(join(kms.folder, 'credentials.json'), at('keys', 'aws.json'));
    writeFileSync(at('keys', 'kms.json'), JSON.stringify({ ...kms.config, credentialsFile: at('keys', 'aws.json') }));
  });
  afterAll(async () => {
    keeper?.kill();
    await kms?.stop();
    rmSync(root, { recursive: true, force: true });
  });

  test('makes the keys there, no token, a keeper.json that serves them, and a vault that knows of neither', async () => {
    const people = ['--administrator', 'alice:publisher,approver', '--administrator', 'bob:approver,registrar'];
    const init = [...people, '--origin', 'vault.example/log/2026', '--data-port', '0', '--admin-port', '0', '--json'];
    const places = ['--keys', at('keys'), '--handover', at('handover'), '--socket', at('run', 'keeper.sock')];
    expect(await ended(spawn(process.execPath, [SCRIPT, ...places, '--', ...init], { stdio: 'ignore' }))).toBe(0);
    const keeperFile = JSON.parse(readFileSync(at('keys', 'keeper.json'), 'utf8'));
    expect(keeperFile).toEqual({
      provider: 'aws-kms',
      ...kms.config,
      credentialsFile: at('keys', 'aws.json'),
      socket: at('run', 'keeper.sock'),
    });
    const vault = JSON.parse(readFileSync(at('handover', 'vault', 'vault.json'), 'utf8'));
    expect([vault.kms, vault.token, vault.keeper]).toEqual([undefined, undefined, { mode: 'external' }]);

    keeper = spawn(process.execPath, [WV, 'keeper', '--config', at('keys', 'keeper.json')], { stdio: 'ignore' });
    const ready = async () => (await wv('keeper', '--ready', '--config', at('keys', 'keeper.json'))).exit === 0;
    expect(await until(ready)).toBe(true);
    const server = await startServer(at('handover', 'vault'));
    expect(await server.stop()).toBe(0);
  });
});

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((done) => child.once('close', done));
}

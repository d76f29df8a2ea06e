/** What an operator sees of a vault whose log is not the one it signed, or whose disk fails: how `wv serve` ends, and what it says. Needs SoftHSM, no TPM. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { setupDevelopmentToken } from '../softhsm/setup.ts';
import { whyNoAttaching } from './audit/faults/injection.ts';
import { initArgs, type ServerProcess, startServer, until, wv, wvJson } from './e2e/real-vault.ts';

const folder = mkdtempSync(join(tmpdir(), 'wv-refused-'));
const at = (...parts: string[]) => join(folder, ...parts);
const database = () => at('vault', 'vault.db');
const head = () => at('vault', 'log-head');
const servers: ServerProcess[] = [];

/** `vault` was stopped in order; `older` is its database as it was one run before. */
beforeAll(async () => {
  writeFileSync(at('token.json'), JSON.stringify(await setupDevelopmentToken({ folder: at('token'), label: 'weight-vault-refused' })));
  await wvJson(...initArgs(at));
  const file = at('vault', 'vault.json');
  // Only what is kept in the file: the token's memory of the newest checkpoint would go on from test to test.
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), logHeadInHsm: false }));
  await (await started()).stop();
  cpSync(database(), at('older.db'));
  await (await started()).stop();
  mkdirSync(at('good'));
  for (const one of ['vault.db', 'log-head']) cpSync(at('vault', one), at('good', one));
});
beforeEach(() => {
  for (const one of ['vault.db-wal', 'vault.db-shm', 'log-head']) rmSync(at('vault', one), { recursive: true, force: true });
  for (const one of ['vault.db', 'log-head']) cpSync(at('good', one), at('vault', one));
});
afterEach(async () => {
  for (const server of servers.splice(0)) if (server.process.exitCode === null) await server.kill();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function started(): Promise<ServerProcess> {
  const server = await startServer(at('vault'), 'admin');
  servers.push(server);
  return server;
}

/** How it ends where it should not serve: exit code, code, and what is said to do. */
async function refused(): Promise<readonly [exit: number | null, code: string, next: string]> {
  const { exit, err } = await wv('serve', '--folder', at('vault'), '--plane', 'admin', '--json');
  const { error } = JSON.parse(err.trim().split('\n').at(-1) ?? '{}');
  expect(err).not.toMatch(/^ {4}at /m); // a stack trace helps nobody
  return [exit, error?.code, error?.next ?? ''];
}

describe('a vault does not start', () => {
  test('on a database that was put back: log_rolled_back, exit 3, and again the next time', async () => {
    cpSync(at('older.db'), database());
    for (let time = 0; time < 2; time++) expect(await refused()).toEqual([3, 'log_rolled_back', expect.stringContaining('Restore')]);
    cpSync(at('good', 'vault.db'), database());
    expect(await (await started()).stop()).toBe(0); // the right one starts
  });

  test('on another history of its own, as on a second host with a copy of its database: log_conflict, exit 3', async () => {
    cpSync(at('older.db'), database());
    const newest = readFileSync(head());
    writeFileSync(head(), ''); // the other host does not know what was signed since
    for (let time = 0; time < 2; time++) await (await started()).stop();
    writeFileSync(head(), newest);
    expect(await refused()).toEqual([3, 'log_conflict', expect.stringContaining('who else')]);
  });

  const spoiled: ReadonlyArray<readonly [what: string, spoil: () => void, exit: number, code: string, next: RegExp]> = [
    ['that is gone', () => renameSync(head(), at('vault', 'gone')), 3, 'log_head_missing', /bring the file back/],
    ['that is cut', () => writeFileSync(head(), readFileSync(head()).subarray(0, 60)), 5, 'note_malformed', /^$/],
    [
      'that cannot be read',
      () => {
        rmSync(head());
        mkdirSync(head());
      },
      4,
      'log_unavailable',
      /^$/,
    ],
  ];
  test.each(spoiled)('beside a kept checkpoint %s', async (_what, spoil, exit, code, next) => {
    spoil();
    expect(await refused()).toEqual([exit, code, expect.stringMatching(next)]);
  });
});

const why = whyNoAttaching();
(why === undefined ? describe : describe.skip)(`a vault that serves${why === undefined ? '' : ` (not run: ${why})`}`, () => {
  test.each(['vault.db-wal', 'log-head.next'])(
    'ends with exit 1 and says why when %s cannot be synced, and its next start serves',
    async (file) => {
      const server = await started();
      const kit = at('vault', 'kits', 'bob');
      const settings = JSON.parse(readFileSync(join(kit, 'kit.json'), 'utf8'));
      writeFileSync(join(kit, 'kit.json'), JSON.stringify({ ...settings, url: `https://127.0.0.1:${server.adminPort}` }));
      // From now on the disk under this one file fails.
      const tracing = ['-f', '-qq', '-o', '/dev/null', '-P', at('vault', file), '-e', 'trace=fsync', '-e', 'inject=fsync:error=EIO'];
      const strace = spawn('strace', [...tracing, '-p', String(server.pid)], { stdio: 'ignore' });
      const detached = once(strace, 'exit');
      // What is asked for leaves records, so that something is written.
      await until(async () => {
        if (server.process.exitCode === null) await wv('login', '--kit', kit, '--code', '000000');
        return server.process.exitCode !== null;
      });
      await detached;
      expect(server.process.exitCode).toBe(1);
      const said = server.log.map((line) => JSON.parse(line)).filter(({ level }) => level === 'error');
      expect(said).toContainEqual(expect.objectContaining({ message: 'a disk of the access log failed: this process ends' }));
      expect(await (await started()).stop()).toBe(0);
    },
  );
});

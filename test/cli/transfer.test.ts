/** `wv publish` and `wv fetch` against a real vault: killed, interrupted, out of disk, changed under way; and what they say afterwards. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { filesBelow, LARGE, MODEL, type RealVault, startRealVault, until, wv, wvJson } from '../e2e/real-vault.ts';
import { type SlowLine, startSlowLine } from './slow-line.ts';

const WV = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const MIB = 1024 * 1024;
/** Slow enough that a process can be ended in the middle, quick enough to wait for. */
const SLOW = 6 * MIB;

let vault: RealVault;
let machine: string;
let dataLine: SlowLine;
let adminLine: SlowLine;
let slowKit: string;
let slowMachine: string;

beforeAll(async () => {
  vault = await startRealVault();
  await vault.promote();
  machine = await vault.enrolled('gpu-1');
  [dataLine, adminLine] = await Promise.all([startSlowLine(vault.server.dataPort, SLOW), startSlowLine(vault.server.adminPort, SLOW)]);
  slowMachine = behind(machine, 'slow-machine', 'requester.json', dataLine.port);
  slowKit = behind(vault.kit('alice'), 'slow-alice', 'kit.json', adminLine.port);
});
afterAll(async () => {
  await dataLine?.stop();
  await adminLine?.stop();
  await vault?.stop();
});

/** A copy of a kit or a requester that goes through a slow line. */
function behind(folder: string, name: string, settings: string, port: number): string {
  const copy = vault.at(name);
  spawnSync('cp', ['-r', folder, copy]);
  const file = join(copy, settings);
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), url: `https://127.0.0.1:${port}` }));
  return copy;
}

interface Running {
  readonly process: ChildProcess;
  readonly err: () => string;
  readonly ended: Promise<number | null>;
}

function start(...args: readonly string[]): Running {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', WV, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (more: string) => {
    err += more;
  });
  return { process: child, err: () => err, ended: new Promise((done) => child.once('close', (exit) => done(exit))) };
}

/** Waits until `holds`; fails with what the command said when it ends before, or takes too long. */
async function reached(running: Running, holds: () => boolean): Promise<void> {
  const ended = running.ended.then((exit) => {
    throw new Error(`it ended with ${exit}: ${running.err()}`);
  });
  ended.catch(() => undefined); // it may end later, when nobody waits here any more
  if (!(await Promise.race([until(holds), ended]))) throw new Error(`not reached: ${running.err()}`);
}

const fetchArgs = (out: string, from = machine, ...more: string[]) => [
  ...['fetch', '--requester', from, '--model', MODEL, '--version', vault.versionId, '--out', out],
  ...more,
];
const whole = () => [...vault.model.values()].reduce((sum, bytes) => sum + bytes.length, 0);
const isWhole = (folder: string) => [...vault.model].every(([path, bytes]) => readFileSync(join(folder, path)).equals(bytes));
const journalled = (folder: string) =>
  filesBelow(join(folder, '.wv-part'))
    .filter((file) => file.endsWith('.journal'))
    .some((file) => readFileSync(file, 'utf8').split('\n').length > 2);

describe('wv fetch', () => {
  test('killed half-way and run again receives the rest only, and every byte is right', async () => {
    const out = vault.at('killed');
    const running = start(...fetchArgs(out, slowMachine, '--streams', '2'));
    await reached(running, () => journalled(out));
    running.process.kill('SIGKILL');
    expect(await running.ended).toBeNull();
    expect(readdirSync(out)).not.toContain(LARGE);
    const again = await wvJson(...fetchArgs(out));
    expect(Number(again['bytes'])).toBeLessThan(whole());
    expect(Number(again['bytes']) + Number(again['resumedBytes'])).toBe(whole());
    expect([isWhole(out), filesBelow(out).length]).toEqual([true, vault.model.size]);
    // And a third time there is nothing to do.
    const receipt = vault.at('killed.receipt');
    const third = await wvJson(...fetchArgs(out, machine, '--receipt', receipt));
    expect(third).toMatchObject({ bytes: 0, resumedBytes: whole() });
    // What it was released for can be proven, with the log key and nothing else.
    expect(await wvJson('receipt', 'verify', receipt, '--vkey', vault.vkey)).toMatchObject({
      record: { recordId: third['recordId'], type: 'release.begin', object: { versionDigest: third['versionDigest'] } },
    });
  });

  test('ended by Ctrl-C: 130, the release is ended at once, and what came is used', async () => {
    const out = vault.at('interrupted');
    const running = start(...fetchArgs(out, slowMachine, '--json', '--progress', 'plain'));
    await reached(running, () => /: [1-9]\d?%/.test(running.err()));
    running.process.kill('SIGINT');
    expect(await running.ended).toBe(130);
    expect(JSON.parse(running.err().trim().split('\n').at(-1) ?? '')).toMatchObject({ error: { code: 'interrupted' } });
    await wvJson('log', 'export', vault.at('log'), '--kit', vault.kit('bob'));
    const verified = await wvJson('log', 'verify', vault.at('log'), '--vkey', vault.vkey);
    // Only the release of the process that was killed is still open.
    expect(verified['releases']).toMatchObject({ live: 1 });
    expect(journalled(out)).toBe(true);
    expect(Number((await wvJson(...fetchArgs(out)))['bytes'])).toBeLessThan(whole());
    expect(isWhole(out)).toBe(true);
  });

  const canMount = spawnSync('unshare', ['-m', 'true']).status === 0;
  (canMount ? test : test.skip)('on a full disk says so, and goes on where it was when there is room', () => {
    const out = vault.at('small-disk');
    mkdirSync(out);
    const run = `"$NODE" --disable-warning=ExperimentalWarning "$WV" "$@"; echo "exit $?"`;
    const script = `mount -t tmpfs -o size=20m none "$OUT" && { ${run}; mount -o remount,size=200m "$OUT"; ${run}; cat "$OUT/${LARGE}" | sha256sum; ls -A "$OUT"; }`;
    const env = { ...process.env, NODE: process.execPath, WV, OUT: out };
    const { stdout, stderr } = spawnSync(
      'unshare',
      ['-m', 'sh', '-c', script, 'sh', ...fetchArgs(out, machine, '--json', '--streams', '1')],
      {
        encoding: 'utf8',
        env,
      },
    );
    const [first, answer = '', second, digest, ...left] = stdout.trim().split('\n');
    expect([first, second]).toEqual(['exit 3', 'exit 0']);
    expect(JSON.parse(stderr.trim().split('\n').at(-1) ?? '')).toMatchObject({
      error: { code: 'target_unwritable', detail: expect.stringContaining('disk is full') },
    });
    expect(JSON.parse(answer).resumedBytes).toBeGreaterThanOrEqual(16 * MIB);
    const objects = JSON.parse(answer).objects as Array<{ path: string; sha256: string }>;
    expect(digest?.split(' ')[0]).toBe(objects.find(({ path }) => path === LARGE)?.sha256);
    expect(left).not.toContain('.wv-part');
  });
});

describe('wv publish', () => {
  const FILES = 12;
  let source: string;
  let versionId = '';
  const publishArgs = (kit: string, folder: string, ...more: string[]) => [
    ...['publish', '--kit', kit, '--model', 'big', '--class', 'internal', ...more],
    folder,
  ];

  beforeAll(() => {
    source = vault.at('source');
    mkdirSync(join(source, 'deep'), { recursive: true });
    for (let file = 0; file < FILES; file++)
      writeFileSync(join(source, file % 2 ? 'deep' : '.', `part-${file}.bin`), randomBytes(3 * MIB + file));
  });
  const bytesOf = (folder: string) => filesBelow(folder).reduce((sum, file) => sum + readFileSync(file).length, 0);
  const versionIn = (err: string) => /--resume ([0-9a-f-]{36})/.exec(err)?.[1] ?? '';

  test('killed half-way: --resume sends the other files only, and the version is whole', async () => {
    const running = start(...publishArgs(slowKit, source, '--streams', '2', '--progress', 'plain'));
    await reached(running, () => /: [3-8]\d%/.test(running.err()));
    running.process.kill('SIGKILL');
    await running.ended;
    versionId = versionIn(running.err());
    const answer = await wvJson(...publishArgs(vault.kit('alice'), source, '--resume', versionId, '--attribute', 'stage=test'));
    expect(answer).toMatchObject({ versionId, bytes: bytesOf(source), approval: { state: 'executed' } });
    expect(Number(answer['resumedBytes'])).toBeGreaterThan(0);
    expect(Number(answer['resumedBytes'])).toBeLessThan(bytesOf(source));
    expect((answer['objects'] as Array<{ path: string }>).map(({ path }) => path).sort()).toEqual(
      Array.from({ length: FILES }, (_, file) => `${file % 2 ? 'deep/' : ''}part-${file}.bin`).sort(),
    );
  });

  test('is then among the models, as its signed documents say', async () => {
    const kit = ['--kit', vault.kit('alice')];
    const { models } = (await wvJson('models', 'list', ...kit)) as { models: Array<{ name: string }> };
    expect(models.map(({ name }) => name)).toEqual(['big', MODEL]);
    expect(await wvJson('models', ...kit)).toEqual({ models });
    expect(await wvJson('models', 'versions', 'big', ...kit)).toMatchObject({
      name: 'big',
      versions: [{ versionId, state: 'promoted', class: 'internal', files: FILES, bytes: bytesOf(source), promoted: { by: ['alice'] } }],
    });
    const shown = await wv('models', 'show', MODEL, ...kit);
    expect(shown.out).toMatch(/^model +tiny-llm$/m);
    expect(shown.out).toMatch(/^promoted +\S+ by alice, (?!alice)[a-z]+$/m);
    const { out } = await wv('models', 'versions', 'big', ...kit);
    const [heading = '', row = ''] = out.split('\n');
    expect(heading.indexOf('class')).toBe(row.indexOf('internal'));
    expect(await wv('models', 'show', 'nothing', ...kit)).toMatchObject({ exit: 3, err: expect.stringContaining('wv models list') });
  });

  test('ended by Ctrl-C: 130, and the version id to go on with', async () => {
    const running = start(...publishArgs(slowKit, source, '--json'));
    await reached(running, () => versionIn(running.err()) !== '');
    running.process.kill('SIGINT');
    expect(await running.ended).toBe(130);
    const resumed = await wvJson(...publishArgs(vault.kit('alice'), source, '--resume', versionIn(running.err())));
    expect(resumed['versionId']).toBe(versionIn(running.err()));
  });

  test('resumed with another file, without one, or of another model, is refused', async () => {
    const changed = vault.at('changed');
    mkdirSync(changed);
    writeFileSync(join(changed, 'a'), 'first');
    const running = start(...publishArgs(slowKit, changed, '--json'));
    await running.ended;
    const done = versionIn(running.err());
    expect(await wv(...publishArgs(vault.kit('alice'), changed, '--resume', done))).toMatchObject({
      exit: 3,
      err: expect.stringMatching(/^version_state_conflict: it is promoted/m),
    });
    const { versionId: open } = (await vault.as('alice', (alice) => alice.call('POST', '/v1/namespaces/default/models/big/versions'))) as {
      versionId: string;
    };
    await vault.as('alice', async ({ https, sessionHeaders }) => {
      const path = `/v1/namespaces/default/versions/${open}/objects/a`;
      await https.answer({ method: 'PUT', path, headers: await sessionHeaders(), body: Buffer.from('other') });
    });
    const resume = (folder: string, ...more: string[]) => wv(...publishArgs(vault.kit('alice'), folder, '--resume', open, ...more));
    expect(await resume(changed)).toMatchObject({ exit: 5, err: expect.stringMatching(/^digest_mismatch: a is not what was uploaded/m) });
    expect(await resume(source)).toMatchObject({ exit: 5, err: expect.stringMatching(/^digest_mismatch: a was uploaded before/m) });
    const foreign = await wv('publish', '--kit', vault.kit('alice'), '--model', MODEL, '--class', 'internal', '--resume', open, changed);
    expect(foreign).toMatchObject({ exit: 2, err: expect.stringContaining('is a version of big') });
  });

  test('follows links only when told to, and says which lead away', async () => {
    const cache = vault.at('cache');
    mkdirSync(join(cache, 'snapshot'), { recursive: true });
    writeFileSync(join(cache, 'blob'), 'weights');
    symlinkSync('../blob', join(cache, 'snapshot', 'model.bin'));
    const args = publishArgs(vault.kit('alice'), join(cache, 'snapshot'));
    expect(await wv(...args)).toMatchObject({ exit: 2, err: expect.stringContaining('model.bin is a symbolic link') });
    const followed = await wv(...args, '--follow-symlinks', '--json');
    expect(followed.exit).toBe(0);
    expect(followed.err).toContain(`model.bin -> ${join(cache, 'blob')}`);
    expect(JSON.parse(followed.out).objects).toMatchObject([{ path: 'model.bin', size: 7 }]);
    symlinkSync('.', join(cache, 'snapshot', 'round'));
    expect(await wv(...args, '--follow-symlinks')).toMatchObject({ exit: 2, err: expect.stringContaining('leads back') });
    rmSync(join(cache, 'snapshot', 'round'));
    spawnSync('mkfifo', [join(cache, 'snapshot', 'pipe')]);
    expect(await wv(...args, '--follow-symlinks')).toMatchObject({ exit: 2, err: expect.stringContaining('neither a file nor a folder') });
  });

  test('fifty small files sixteen at a time, alike or not, by two publishers of one model at once', async () => {
    const many = vault.at('many');
    mkdirSync(many);
    for (let file = 0; file < 50; file++) writeFileSync(join(many, `f-${file}`), file % 2 ? 'the same' : randomBytes(1000 + file));
    const args = ['publish', '--kit', vault.kit('alice'), '--model', 'many', '--class', 'internal', '--streams', '16', many, '--json'];
    const both = await Promise.all([wv(...args), wv(...args), wv(...args)]);
    expect(both.map(({ exit, err }) => [exit, err.includes('internal')])).toEqual(both.map(() => [0, false]));
    const versions = both.map(({ out }) => JSON.parse(out) as { versionId: string; objects: object[] });
    expect(new Set(versions.map((one) => one.versionId)).size).toBe(3);
    expect(versions.map((one) => one.objects.length)).toEqual([50, 50, 50]);
    expect(vault.server.log.filter((line) => line.includes('request failed') && line.includes('"internal"'))).toEqual([]);
  });
});

describe('the session', () => {
  test('whoami says whose it is; after logout there is none, and what to do', async () => {
    const kit = behind(vault.kit('bob'), 'bob-elsewhere', 'kit.json', vault.server.adminPort);
    expect(await wvJson('whoami', '--kit', kit)).toMatchObject({ administrator: 'bob', roles: expect.arrayContaining(['approver']) });
    expect(await wvJson('logout', '--kit', kit)).toEqual({ administrator: 'bob' });
    expect(readdirSync(kit)).not.toContain('session');
    expect(await wv('whoami', '--kit', kit)).toMatchObject({
      exit: 3,
      err: expect.stringMatching(/^session_missing: .*\nwhat to do: .*wv login/),
    });
    expect(await wv('whoami', '--kit', vault.kit('bob'))).toMatchObject({ exit: 3 }); // the vault has forgotten it as well
  });
});

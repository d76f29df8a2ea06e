import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { runSealed } from '../../src/cli/sealed.ts';

const root = mkdtempSync(join(tmpdir(), 'wv-sealed-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let dir = '';
let turn = 0;
const at = (name: string): string => join(dir, name);
const plain = Buffer.from('weights: a small example, longer than one small segment');

beforeEach(async () => {
  turn += 1;
  dir = join(root, String(turn));
  mkdirSync(dir);
  writeFileSync(at('key'), Buffer.alloc(32, 7));
  writeFileSync(at('other'), Buffer.alloc(32, 8));
  writeFileSync(at('plain'), plain);
  expect((await wv('seal', at('plain'), ...K, '--aad', 'a', '--segment', '64', '--out', at('sealed'))).code).toBe(0);
});
const K = ['--key-file', 'key'];

/** Runs in process; a bare `key` or `other` after --key-file is in this test's folder. */
async function wv(...args: string[]): Promise<{ code: number; out: Buffer; err: string }> {
  return wvWith(Readable.from([]), ...args);
}
async function wvWith(stdin: AsyncIterable<Uint8Array>, ...args: string[]): Promise<{ code: number; out: Buffer; err: string }> {
  const [out, err] = [[] as Buffer[], [] as Buffer[]];
  const into = (list: Buffer[]): Writable =>
    new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        list.push(Buffer.from(chunk));
        done();
      },
    });
  const argv = args.map((arg, i) => (args[i - 1] === '--key-file' && /^\w+$/.test(arg) ? at(arg) : arg));
  const code = await runSealed(argv, { stdin, stdout: into(out), stderr: into(err) });
  return { code, out: Buffer.concat(out), err: Buffer.concat(err).toString() };
}
const damage = (name: string, offset: number): void => {
  const bytes = readFileSync(at('sealed'));
  const index = offset < 0 ? bytes.length + offset : offset;
  bytes.writeUInt8(bytes.readUInt8(index) ^ 1, index);
  writeFileSync(at(name), bytes);
};

describe('wv sealed', () => {
  test('opens what it sealed, leaving one private file and no other', async () => {
    const before = readdirSync(dir);
    expect(await wv('open', at('sealed'), ...K, '--aad', 'a', '--out', at('opened'))).toMatchObject({ code: 0, err: '' });
    expect(readFileSync(at('opened'))).toEqual(plain);
    expect(statSync(at('opened')).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir).sort()).toEqual([...before, 'opened'].sort());
  });

  test('takes AAD as text or hexadecimal, as given and not normalised', async () => {
    const seal = (...aad: string[]) => wv('seal', at('plain'), ...K, ...aad, '--out', at('s'));
    const open = async (...aad: string[]) => (await wv('open', at('s'), ...K, ...aad, '--out', at('o'))).code;
    await seal('--aad', 'cafe\u0301');
    expect([
      await open('--aad-hex', '63616665cc81'),
      await open('--aad-hex', '63616665CC81'),
      await open('--aad', 'caf\u00e9'),
      await open(),
    ]).toEqual([0, 0, 3, 3]);
    await seal();
    expect([await open('--aad', ''), await open('--aad-hex', ''), await open()]).toEqual([0, 0, 0]);
  });

  test('seals at the production segment length unless told, and honours the rotation mask', async () => {
    await wv('seal', at('plain'), ...K, '--out', at('s'));
    expect(readFileSync(at('s')).readUInt32BE(2)).toBe(1048608);
    await wv('seal', at('plain'), ...K, '--segment', '40', '--rotation-mask', '1', '--out', at('s'));
    expect((await wv('open', at('s'), ...K, '--rotation-mask', '1', '--segment', '40', '--out', at('o'))).code).toBe(0);
    expect(await wv('open', at('s'), ...K, '--out', at('p'))).toMatchObject({
      code: 3,
      err: expect.stringMatching(/^sealed_segment_tag: /),
    });
  });

  test('reads standard input and writes standard output', async () => {
    const sealed = await wvWith(
      Readable.from([plain.subarray(0, 9), plain.subarray(9)]),
      'seal',
      '-',
      ...K,
      '--segment',
      '50',
      '--out',
      '-',
    );
    expect(sealed.code).toBe(0);
    expect(await wvWith(Readable.from([sealed.out]), 'open', '-', ...K, '--out', '-')).toEqual({ code: 0, out: plain, err: '' });
  });

  test('takes every segment length that FLOE can state, and asks for memory only as bytes come', async () => {
    const [min, max] = ['33', '4294967294'];
    for (const segment of [min, '67108897', max]) {
      expect((await wv('seal', at('plain'), ...K, '--segment', segment, '--out', at('s'))).code).toBe(0);
      expect(readFileSync(at('s')).readUInt32BE(2)).toBe(Number(segment));
      expect(await wv('open', at('s'), ...K, '--out', '-')).toMatchObject({ code: 0, out: plain });
      expect((await wv('inspect', at('s'))).code).toBe(0);
    }
    const lying = readFileSync(at('sealed'));
    lying.writeUInt32BE(Number(max), 2);
    writeFileSync(at('lying'), lying);
    expect((await wv('open', at('lying'), ...K, '--aad', 'a', '--out', at('o'))).err).toMatch(/^sealed_header_tag: /);
    expect((await wv('inspect', at('lying'))).err).toMatch(/^sealed_truncated: /);
  });

  test('streams only verified segments to standard output, and still refuses', async () => {
    damage('bad', -1);
    expect(await wv('open', at('bad'), ...K, '--aad', 'a', '--out', '-')).toMatchObject({ code: 3, out: plain.subarray(0, 32) });
  });

  test.each([
    ['sealed_header_tag', ['--aad', 'b'], 'sealed'],
    ['sealed_header_tag', ['--key-file', 'other'], 'sealed'],
    ['sealed_parameters', ['--segment', '65'], 'sealed'],
    ['sealed_parameters', ['--segment', '0'], 'sealed'],
    ['sealed_header_truncated', [], 'plain'],
    ['sealed_segment_tag', [], 'bad'],
  ])('refuses with %s (%j), and leaves nothing new and the old file alone', async (code, more, file) => {
    damage('bad', -1);
    writeFileSync(at('old'), 'kept');
    for (const out of ['new', 'old']) {
      const args = ['open', at(file), ...(more[0] === '--key-file' ? [] : K), ...(more[0] === '--aad' ? [] : ['--aad', 'a']), ...more];
      const before = readdirSync(dir);
      expect(await wv(...args, '--out', at(out))).toMatchObject({ code: 3, err: expect.stringMatching(new RegExp(`^${code}: `)) });
      expect(readdirSync(dir)).toEqual(before);
    }
    expect(readFileSync(at('old'), 'utf8')).toBe('kept');
  });

  test('replaces an old file only by a complete one, and through a link the file it points to', async () => {
    writeFileSync(at('old'), 'old');
    symlinkSync(at('old'), at('link'));
    expect((await wv('open', at('sealed'), ...K, '--aad', 'a', '--out', at('link'))).code).toBe(0);
    expect(readFileSync(at('old'))).toEqual(plain);
    expect((await wv('open', at('sealed'), ...K, '--aad', 'a', '--out', '/dev/null')).code).toBe(0);
    expect(statSync('/dev/null').isCharacterDevice()).toBe(true);
  });

  test('never overwrites its input or the key, not even through a link', async () => {
    linkSync(at('sealed'), at('hard'));
    symlinkSync(at('sealed'), at('soft'));
    const sealed = readFileSync(at('sealed'));
    for (const out of ['sealed', 'hard', 'soft', 'key']) {
      expect((await wv('open', at('sealed'), ...K, '--aad', 'a', '--out', at(out))).code).toBe(2);
    }
    expect([readFileSync(at('sealed')), readFileSync(at('key'))]).toEqual([sealed, Buffer.alloc(32, 7)]);
  });
});

describe('wrong usage ends with 2 and nothing at --out', () => {
  test.each<[string, (a: typeof at) => string[]]>([
    ['no command', () => []],
    ['an unknown command', (a) => ['unseal', a('sealed')]],
    ['no file', () => ['open', ...K]],
    ['two files', (a) => ['open', a('sealed'), a('plain'), ...K, '--out', a('new')]],
    ['no key', (a) => ['open', a('sealed'), '--out', a('new')]],
    ['no --out', (a) => ['open', a('sealed'), ...K]],
    ['no --out for seal', (a) => ['seal', a('plain'), ...K]],
    ['an unknown option', (a) => ['open', a('sealed'), ...K, '--out', a('new'), '--force']],
    ['both kinds of AAD', (a) => ['open', a('sealed'), ...K, '--out', a('new'), '--aad', 'a', '--aad-hex', '61']],
    ['odd hexadecimal', (a) => ['open', a('sealed'), ...K, '--out', a('new'), '--aad-hex', '616']],
    ['not hexadecimal', (a) => ['open', a('sealed'), ...K, '--out', a('new'), '--aad-hex', '6g']],
    ['an input that is not there', (a) => ['open', a('nothing'), ...K, '--out', a('new')]],
    ['an input that is a folder', (a) => ['open', a('.'), ...K, '--out', a('new')]],
    ['a key that is not there', (a) => ['open', a('sealed'), '--key-file', a('nothing'), '--out', a('new')]],
    ['a key of another length', (a) => ['open', a('sealed'), '--key-file', a('plain'), '--out', a('new')]],
    ['an empty key', (a) => ['open', a('sealed'), '--key-file', '/dev/null', '--out', a('new')]],
    ['an endless key', (a) => ['open', a('sealed'), '--key-file', '/dev/zero', '--out', a('new')]],
    ['an output folder that is not there', (a) => ['open', a('sealed'), ...K, '--aad', 'a', '--out', join(a('nothing'), 'new')]],
    ['an output that is a folder', (a) => ['open', a('sealed'), ...K, '--aad', 'a', '--out', a('.')]],
    ...['64', '-1', '1.5', 'x', '', '0x1'].map((n): [string, (a: typeof at) => string[]] => [
      `rotation mask ${n}`,
      (a) => ['open', a('sealed'), ...K, '--out', a('new'), '--rotation-mask', n],
    ]),
    ...['32', '0', '4294967295', '4294967296', '-5', '1e3', 'big'].map((n): [string, (a: typeof at) => string[]] => [
      `sealing at segment ${n}`,
      (a) => ['seal', a('plain'), ...K, '--out', a('new'), '--segment', n],
    ]),
  ])('%s', async (_, args) => {
    const before = readdirSync(dir);
    const { code, out, err } = await wv(...args(at));
    expect([code, out.length, err === '']).toEqual([2, 0, false]);
    expect(readdirSync(dir)).toEqual(before);
  });

  (process.getuid?.() === 0 ? test.skip : test)('an unreadable input (skipped for root, who reads anything)', async () => {
    chmodSync(at('sealed'), 0);
    expect((await wv('open', at('sealed'), ...K, '--out', at('new'))).code).toBe(2);
  });
});

describe('wv sealed inspect', () => {
  const about = { format: 'FLOE', segmentBytes: 64, segments: 2, lastSegmentBytes: 55, plaintextBytes: 55, ciphertextBytes: 74 + 64 + 55 };
  test('tells the structure without a key and says it verified nothing', async () => {
    const { code, out } = await wv('inspect', at('sealed'));
    const iv = readFileSync(at('sealed')).subarray(10, 42).toString('hex');
    expect([code, JSON.parse(out.toString())]).toEqual([0, expect.objectContaining({ ...about, iv, verified: false })]);
  });
  test('verifies every segment with the key', async () => {
    const { code, out } = await wv('inspect', at('sealed'), ...K, '--aad', 'a');
    expect([code, JSON.parse(out.toString())]).toEqual([0, expect.objectContaining({ ...about, verified: true })]);
    damage('bad', -1);
    expect(await wv('inspect', at('bad'), ...K, '--aad', 'a')).toMatchObject({ code: 3, out: Buffer.alloc(0) });
    expect((await wv('inspect', at('bad'))).code).toBe(0);
  });
  test('refuses a broken structure even without a key', async () => {
    writeFileSync(at('long'), Buffer.concat([readFileSync(at('sealed')), Buffer.alloc(1)]));
    writeFileSync(at('short'), readFileSync(at('sealed')).subarray(0, -1));
    expect((await wv('inspect', at('long'))).err).toMatch(/^sealed_trailing_bytes: /);
    expect((await wv('inspect', at('short'))).err).toMatch(/^sealed_truncated: /);
  });
});

describe('as a real process', () => {
  const module = fileURLToPath(new URL('../../src/cli/sealed.ts', import.meta.url));
  const script = `import { runSealed } from ${JSON.stringify(module)}; process.exitCode = await runSealed(process.argv.slice(1));`;
  const node = ['--input-type=module', '-e', script, '--'];

  test('pipes, exits with the code, and speaks on standard error', () => {
    const args = ['open', '-', '--key-file', at('key'), '--aad', 'a', '--out', '-'];
    const good = spawnSync(process.execPath, [...node, ...args], { input: readFileSync(at('sealed')) });
    expect([good.status, good.stdout]).toEqual([0, plain]);
    const bad = spawnSync(process.execPath, [...node, ...args], { input: readFileSync(at('sealed')).subarray(0, 100) });
    expect([bad.status, bad.stdout.length, bad.stderr.toString()]).toEqual([3, 0, expect.stringMatching(/^sealed_truncated: /)]);
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('leaves nothing behind after %s', async (signal) => {
    const child = spawn(process.execPath, [...node, 'seal', '-', '--key-file', at('key'), '--segment', '64', '--out', at('new')], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const ended = new Promise<string | null>((resolve) => child.once('exit', (_code, by) => resolve(by)));
    child.stdin.write(Buffer.alloc(1000));
    while (!readdirSync(dir).some((name) => name.endsWith('.tmp'))) await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill(signal);
    expect(await ended).toBe(signal);
    expect([existsSync(at('new')), readdirSync(dir).filter((name) => name.endsWith('.tmp'))]).toEqual([false, []]);
  });
});

test('--json says where the result is, and is refused where the result itself goes to standard output', async () => {
  const sealed = ['open', at('sealed'), ...K, '--aad', 'a', '--json'];
  expect(await wv(...sealed, '--out', '-')).toMatchObject({ code: 2, out: Buffer.alloc(0) });
  const { code, out } = await wv(...sealed, '--out', at('opened'));
  expect([code, JSON.parse(out.toString())]).toEqual([0, { out: at('opened') }]);
  expect(readFileSync(at('opened')).equals(plain)).toBe(true);
});

/** What `npm run bench` promises whoever reads its rows. How fast anything is, is not a test's business. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Row, rowOf } from '../../bench/area.ts';
import { median, quantile } from '../../bench/core/rounds.ts';
import { tableOf } from '../../bench/table.ts';

const MAIN = fileURLToPath(new URL('../../bench/main.ts', import.meta.url));
const MEMBERS = ['area', 'name', 'value', 'unit', 'peer', 'peerValue', 'ratio', 'target', 'met'];

describe('a row', () => {
  const measured = { name: 'wall', value: 3, unit: 'GB/s', peer: 'nginx', peerValue: 2 };
  const met = (value: number, target: Parameters<typeof rowOf>[1]['target'], peerValue?: number) =>
    rowOf('core', { name: 'x', value, unit: '', ...(target && { target }), ...(peerValue !== undefined && { peerValue }) }).met;

  test('has every member, null where there is nothing to say', () => {
    expect(Object.keys(rowOf('core', { name: 'x', value: 1, unit: 's' }))).toEqual(MEMBERS);
    expect(rowOf('core', { name: 'x', value: 1, unit: 's' })).toMatchObject({
      peer: null,
      peerValue: null,
      ratio: null,
      target: null,
      met: null,
    });
  });

  test('compares with its peer, and not with a peer of zero', () => {
    expect(rowOf('core', measured).ratio).toBe(1.5);
    expect(rowOf('core', { ...measured, peerValue: 0 }).ratio).toBeNull();
  });

  test('meets a target or misses it, bounds included; without a peer a ratio is neither', () => {
    expect(rowOf('core', { ...measured, target: { of: 'ratio', atMost: 1.5 } })).toMatchObject({ target: 'ratio <= 1.5', met: true });
    expect(met(3.1, { of: 'ratio', atMost: 1.5 }, 2)).toBe(false);
    expect(met(150, { of: 'value', atLeast: 150 })).toBe(true);
    expect(met(149, { of: 'value', atLeast: 150 })).toBe(false);
    expect(met(1, { of: 'ratio', atMost: 1.5 })).toBeNull();
    expect(met(Number.NaN, { of: 'value', atMost: 4 })).toBe(false);
  });

  test('is one line of the table, and says when its target was missed', () => {
    const lines = tableOf([
      rowOf('core', { ...measured, target: { of: 'ratio', atLeast: 2 } }),
      rowOf('core', { name: 'second', value: 1234.5, unit: '1/s' }),
    ]).split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[1]).toMatch(/^wall {4} *3\.00 {2}GB\/s +nginx +2\.00 +1\.50 +ratio >= 2 +missed$/);
    expect(lines[2]).toMatch(/^second +1235 +1\/s$/);
  });
});

test('medians and quantiles lie between their neighbours', () => {
  expect([median([3, 1, 2]), median([4, 1, 2, 3]), quantile([0, 10], 0.95), median([])]).toEqual([2, 2.5, 9.5, Number.NaN]);
});

describe('a command that makes no sense is answered with the usage and 2', () => {
  test.each([
    ['an unknown area', ['speed']],
    ['two areas', ['core', 'core']],
    ['an unknown option', ['--fast']],
    ['no size', ['core', '--mib', 'big']],
    ['no rounds', ['core', '--rounds', '0']],
    ['a folder that is not there', ['core', '--json', join(tmpdir(), 'not', 'there', 'rows.json')]],
  ])('%s', async (_name, args) => {
    const { exit, out, err } = await bench(...args);
    expect({ exit, out }).toEqual({ exit: 2, out: '' });
    expect(err).toMatch(/usage: npm run bench -- \[AREA\][\s\S]* {2}core /);
  });
});

describe('area core, tiny and without peers', () => {
  const folder = mkdtempSync(join(tmpdir(), 'wv-bench-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  let ended: Awaited<ReturnType<typeof bench>>;
  let rows: Row[];
  beforeAll(async () => {
    ended = await bench('core', '--quick', '--no-peers', '--json', join(folder, 'rows.json'));
    if (ended.exit !== 0) throw new Error(`it ended with ${ended.exit}: ${ended.err}`);
    rows = JSON.parse(readFileSync(join(folder, 'rows.json'), 'utf8'));
  });

  test('measures everything and ends with 0, whatever was missed', () => {
    expect(rows.some(({ met }) => met !== null)).toBe(true);
    for (const part of [
      'sealed object: seal',
      '1 stream',
      '4 streams',
      'releases, software-key evidence',
      'one release',
      'memory per stream',
    ]) {
      expect([part, rows.some(({ name }) => name.startsWith(part))]).toEqual([part, true]);
    }
  });

  test('writes rows with every member, of the types a reader expects', () => {
    for (const row of rows) {
      expect(Object.keys(row)).toEqual(MEMBERS);
      expect([row.area, typeof row.name, Number.isFinite(row.value), typeof row.unit]).toEqual(['core', 'string', true, 'string']);
    }
  });

  test('says why nothing was compared, and judges no ratio then', () => {
    const compared = rows.filter(({ peer }) => peer !== null);
    expect(compared.length).toBeGreaterThan(5);
    for (const row of compared) expect(row).toMatchObject({ peer: expect.stringContaining('left out'), peerValue: null, ratio: null });
    for (const row of rows.filter(({ target }) => target?.startsWith('ratio'))) expect(row.met).toBeNull();
  });

  test('names no measure twice against the same peer', () => {
    const names = rows.map(({ name, peer }) => `${name} ${peer}`);
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  });

  test('prints each row', () => {
    for (const { name } of rows) expect(ended.out).toContain(`\n${name} `);
  });
});

function bench(...args: readonly string[]): Promise<{ exit: number | null; out: string; err: string }> {
  return new Promise((done) => {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, err] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (piece: string) => (out += piece));
    child.stderr.setEncoding('utf8').on('data', (piece: string) => (err += piece));
    child.once('close', (exit) => done({ exit, out, err }));
  });
}

/** `wv alerts test|backtest` at a shell, without a vault. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { encodeEntries } from '../../src/audit/bundle.ts';
import { TILE_WIDTH, tilePath } from '../../src/audit/tile-path.ts';
import { GOLDEN_ALERTS, leavesOf } from '../alerts/golden.ts';
import { wv } from '../e2e/real-vault.ts';

const folder = mkdtempSync(join(tmpdir(), 'wv-alerts-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function put(name: string, content: string | Uint8Array): string {
  const file = join(folder, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
}

const stream = GOLDEN_ALERTS['Many refusals of one TLS key']?.fires ?? [];
const jsonLines = (leaves: readonly Uint8Array[]) => leaves.map((leaf) => `${Buffer.from(leaf).toString('utf8')}\n`).join('');

describe('wv alerts test', () => {
  test('says what fires in a file of records, and fails when it is not what was expected', async () => {
    const file = put('denials.jsonl', jsonLines(leavesOf(stream)));
    const good = await wv('alerts', 'test', '--json', '--fires', 'A01', '--silent', 'A08', file);
    expect(good.exit).toBe(0);
    expect(JSON.parse(good.out).files[0].fired[0]).toMatchObject({ alert: 'A01', level: 'high', indexes: [0, 1, 2, 3, 4] });
    const bad = await wv('alerts', 'test', '--fires', 'A08', file);
    expect([bad.exit, bad.err]).toEqual([3, 'alert_rule_invalid: not as expected: A08\n']);
  });

  test('names the file and the reason of a rule that is no rule', async () => {
    put('rules/bad.yml', 'title: Bad\nlogsource:\n    product: weight-vault\ndetection:\n    a:\n        nonsense: 1\n    condition: a\n');
    const { exit, err } = await wv('alerts', 'test', '--rules', join(folder, 'rules'));
    expect(exit).toBe(3);
    expect(err).toContain('bad.yml: ');
  });
});

test('wv alerts backtest reads the last days of a copy and no more', async () => {
  const now = Date.now();
  const daysAgo = (days: number) => new Date(now - days * 86_400_000);
  const old = Array.from({ length: TILE_WIDTH }, () => leavesOf(stream.slice(0, 1), daysAgo(40))).flat();
  const fresh = leavesOf(stream, daysAgo(1));
  put(
    'copy/checkpoint',
    `vault.example/access\n${old.length + fresh.length}\n${Buffer.alloc(32).toString('base64')}\n\n— vault.example/access ${Buffer.alloc(68).toString('base64')}\n`,
  );
  put(`copy/${tilePath({ level: 'entries', index: 0, width: TILE_WIDTH })}`, encodeEntries(old));
  put(`copy/${tilePath({ level: 'entries', index: 1, width: fresh.length })}`, encodeEntries(fresh));
  const { exit, out } = await wv('alerts', 'backtest', '--copy', join(folder, 'copy'), '--days', '7', '--json');
  expect(exit).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    from: TILE_WIDTH,
    size: TILE_WIDTH + 5,
    alerts: 1,
    byRule: { 'A01 Many refusals of one TLS key': 1 },
  });
});

/** T34: two processes that both mean to sign one log. */
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { emptySite, WRITER } from './injection.ts';
import { nextStart } from './next-start.ts';

interface Ran {
  readonly exit: number | null;
  readonly acknowledged: readonly string[];
  /** Tree sizes, in order. */
  readonly signed: readonly number[];
}

/** `afterAcks`: killed as soon as it has acknowledged so many records. */
function writer(folder: string, records: number, afterAcks = Number.POSITIVE_INFINITY): Promise<Ran> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', WRITER, folder, String(records)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 200_000,
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
    if (text.split('ack ').length > afterAcks) child.kill('SIGKILL');
  });
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('close', (exit) => {
      const said = (word: string) =>
        text
          .split('\n')
          .slice(0, -1)
          .filter((line) => line.startsWith(`${word} `))
          .map((line) => line.slice(word.length + 1));
      done({ exit, acknowledged: said('ack'), signed: said('signed').map(Number) });
    });
  });
}

describe('of two processes on one log', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await emptySite();
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test('one signs at a time, each size once, and both have all their records in it', async () => {
    const [one, two] = await Promise.all([writer(folder, 120), writer(folder, 120)]);
    expect([one.exit, two.exit, one.acknowledged.length, two.acknowledged.length]).toEqual([0, 0, 120, 120]);
    const sizes = [...one.signed, ...two.signed];
    expect([sizes.length > 2, new Set(sizes).size]).toEqual([true, sizes.length]);
    const [first, second] = [one.signed, two.signed].toSorted(
      (a, b) => (a[0] ?? Number.POSITIVE_INFINITY) - (b[0] ?? Number.POSITIVE_INFINITY),
    );
    // The second begins when the first has given its lease back, and never while it signs.
    if (second?.length) expect(Math.min(...second)).toBeGreaterThan(Math.max(...(first ?? [])));
    expect(await nextStart(folder, [...one.acknowledged, ...two.acknowledged])).toBe(240);
  });

  test('one that starts right after the signer was killed loses nothing, and no size is signed twice', async () => {
    const dead = await writer(folder, 4_000, 30);
    const next = await writer(folder, 120); // the lease of the dead one may still run: then it signs nothing
    expect([dead.exit, dead.signed.length > 0, next.exit]).toEqual([null, true, 0]);
    expect(next.signed.filter((size) => dead.signed.includes(size))).toEqual([]);
    expect(await nextStart(folder, [...dead.acknowledged, ...next.acknowledged])).toBeGreaterThanOrEqual(150);
  });

  test('with a database each, as on two hosts, and one kept checkpoint between them: whoever comes second is refused', async () => {
    const other = mkdtempSync(join(tmpdir(), 'wv-other-'));
    try {
      cpSync(folder, other, { recursive: true });
      const first = await writer(folder, 40);
      await writer(other, 60); // it knows nothing of the other
      cpSync(join(folder, 'head'), join(other, 'head'));
      expect(first.signed.length).toBeGreaterThan(0);
      await expect(nextStart(other, [])).rejects.toMatchObject({ code: 'log_conflict' });
      expect(await nextStart(folder, first.acknowledged)).toBe(40);
    } finally {
      rmSync(other, { recursive: true, force: true });
    }
  });
});

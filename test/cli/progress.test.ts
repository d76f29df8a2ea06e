/** What long work shows: a bar on a terminal, lines when asked, else nothing. */

import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { aligned, inUnits } from '../../src/cli/output.ts';
import { type ProgressOptions, type ProgressStream, startProgress } from '../../src/cli/progress.ts';

function screen(isTTY: boolean): ProgressStream & { text(): string } {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  return Object.assign(stream, { isTTY, columns: 120, text: () => text }) as ProgressStream & { text(): string };
}

async function shown(options: ProgressOptions, isTTY: boolean, totalBytes = 4096): Promise<string> {
  const stream = screen(isTTY);
  {
    using progress = startProgress(options, { label: 'llama', totalBytes }, stream);
    progress.skip(Math.floor(totalBytes / 4));
    progress.add(Math.floor(totalBytes / 4));
    await sleep(1_100);
    progress.add(Math.floor(totalBytes / 2));
  }
  return stream.text();
}

describe('progress', () => {
  test('is silent where nobody looks, unless asked', async () => {
    expect(await shown({ progress: 'auto' }, false)).toBe('');
    expect(await shown({}, false)).toBe('');
    expect(await shown({ progress: 'off' }, true)).toBe('');
  });

  test('plain: a line each second with bytes, rate and time left; what was there says nothing about the rate', async () => {
    const [first, last, ...rest] = (await shown({ progress: 'plain' }, false, 4000)).trim().split('\n');
    const [, rate, eta] = /^llama: 50%, 2\.0 KiB of 3\.9 KiB, (\d+) B\/s, ETA (\d+) s$/.exec(first ?? '') ?? [];
    expect(Number(rate)).toBeLessThanOrEqual(1010); // a timer of a second may be a little early, and is late at will
    const [least = 0, most = 0] = [0.5, -0.5].map((rounded) => Math.ceil(2000 / (Number(rate) + rounded))); // the rate is shown in whole bytes
    expect([least <= Number(eta), Number(eta) <= most]).toEqual([true, true]);
    expect(last).toMatch(/^llama: 100%, 3\.9 KiB of 3\.9 KiB, .*, done$/);
    expect(rest).toEqual([]);
  });

  test('a bar on a terminal', async () => {
    const text = await shown({ progress: 'auto' }, true);
    expect(text).toMatch(/llama \[=+-+\] 50% 2\.0 KiB of 4\.0 KiB/);
    expect(text).toMatch(/\] 100% 4\.0 KiB of 4\.0 KiB, .*done/);
  });

  test('of nothing at all is done', async () => {
    expect((await shown({ progress: 'plain' }, false, 0)).split('\n')[0]).toBe('llama: 100%, 0 B of 0 B, 0 B/s, done');
    expect(await shown({ progress: 'auto' }, true, 0)).toContain('100%');
  });
});

test('sizes in units', () => {
  expect([0, 1, 1023, 1024, 1536, 1024 ** 2, 150_323_855_360, 2 ** 53].map(inUnits)).toEqual([
    '0 B',
    '1 B',
    '1023 B',
    '1.0 KiB',
    '1.5 KiB',
    '1.0 MiB',
    '140.0 GiB',
    '8192.0 TiB',
  ]);
});

test('columns are as wide as their widest cell, and a cell cannot leave its line', () => {
  expect(
    aligned(
      ['a', 'bb'],
      [
        ['long', 'x'],
        ['\u001b[31mred\n', ''],
      ],
    ),
  ).toEqual(['a          bb', 'long       x', '?[31mred?']);
});

import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLineFiles } from '../../src/audit/delivery/line-files.ts';
import { codeOf } from '../../src/domain/errors.ts';
import { canMount, filled } from '../harness/small-disk.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'wv-lines-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const filesIn = (at: string, rotateBytes = 1_000_000) =>
  createLineFiles({
    folder: join(at, 'sink'),
    rotateBytes,
    indexOf: (line) => (/^\d+ /.test(line) ? Number(line.split(' ')[0]) : undefined),
  });
const lines = (from: number, to: number, text = 'x') =>
  Array.from({ length: to - from }, (_, at) => ({ index: from + at, line: `${from + at} ${text}` }));
const written = (at = folder) =>
  readdirSync(join(at, 'sink'))
    .sort()
    .flatMap((name) =>
      readFileSync(join(at, 'sink', name), 'utf8')
        .split('\n')
        .slice(0, -1),
    );

describe('lines in files', () => {
  it('has each line once and in order, over files that are full, repetitions and restarts', async () => {
    const files = filesIn(folder, 100);
    await files.append(lines(0, 10));
    await files.append(lines(5, 30)); // half of it was there
    await filesIn(folder, 100).append(lines(20, 45)); // another process
    await files.append(lines(45, 46));
    expect(written()).toEqual(lines(0, 46).map(({ line }) => line));
    expect(readdirSync(join(folder, 'sink')).sort()).toEqual(['0000000000000000.log', '0000000000000030.log', '0000000000000045.log']);
  });

  it('cuts off what a crash left of a line, and goes on behind the last whole one', async () => {
    await filesIn(folder).append(lines(0, 3));
    appendFileSync(join(folder, 'sink', '0000000000000000.log'), '3 half a li');
    await filesIn(folder).append(lines(2, 5));
    expect(written()).toEqual(lines(0, 5).map(({ line }) => line));
    writeFileSync(join(folder, 'sink', '0000000000000005.log'), '5 nothing whole');
    await filesIn(folder).append(lines(4, 7));
    expect(written()).toEqual(lines(0, 7).map(({ line }) => line));
  });

  it('cuts off what a power cut left of a batch when its beginning is gone and its end is there', async () => {
    await filesIn(folder).append(lines(0, 3));
    const file = join(folder, 'sink', '0000000000000000.log');
    appendFileSync(file, `3 x\n\0\0\0\0\n5 x\n6 ${'\0'.repeat(9)}\n7 x\n`);
    await filesIn(folder).append(lines(3, 10));
    expect(written()).toEqual(lines(0, 10).map(({ line }) => line));
  });

  it('goes on behind more lines than a batch has, and refuses a file with a line among the last that no sink wrote', async () => {
    const files = filesIn(folder);
    for (let at = 0; at < 1_300; at += 500) await files.append(lines(at, at + 500, 'z'.repeat(400)));
    await filesIn(folder).append(lines(1_490, 1_510));
    expect(written()).toHaveLength(1_510);
    const file = join(folder, 'sink', '0000000000000000.log');
    writeFileSync(file, readFileSync(file, 'utf8').replace('\n1400 ', '\nxxxx '));
    expect(
      await filesIn(folder)
        .append(lines(1_510, 1_511))
        .catch((error) => error.message),
    ).toContain('a line that no sink wrote');
  });

  it('says by the name of the file that lines are missing before it', async () => {
    await filesIn(folder).append(lines(0, 3));
    await filesIn(folder).append(lines(10, 12));
    expect(readdirSync(join(folder, 'sink')).sort()).toEqual(['0000000000000000.log', '0000000000000010.log']);
  });

  it('writes to no file that ends in something else, and to no folder that is none', async () => {
    mkdirSync(join(folder, 'sink'));
    writeFileSync(join(folder, 'sink', '0000000000000000.log'), 'what is this\n');
    expect(await filesIn(folder).append(lines(0, 1)).catch(codeOf)).toBe('target_unwritable');
    writeFileSync(join(folder, 'file'), '');
    expect(await filesIn(join(folder, 'file')).append(lines(0, 1)).catch(codeOf)).toBe('target_unwritable');
    expect(await filesIn(join(folder, 'nowhere')).append(lines(0, 1)).catch(codeOf)).toBe('target_unwritable');
  });

  (canMount() ? it : it.skip)(
    'on a full disk keeps whole lines only, and goes on when there is room (needs the right to mount a tmpfs)',
    async () => {
      expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]).status).toBe(0);
      try {
        const files = filesIn(folder);
        await files.append(lines(0, 3));
        const free = filled(folder, 8_192);
        expect(await files.append(lines(3, 40, 'y'.repeat(1_000))).catch((error) => error.message)).toBe(
          'target_unwritable: the disk is full',
        );
        expect(written()).toEqual(lines(0, 3).map(({ line }) => line));
        free();
        await files.append(lines(3, 40, 'y'.repeat(1_000)));
        expect(written()).toHaveLength(40);
      } finally {
        spawnSync('umount', [folder]);
      }
    },
  );
});

/** T5: of a log of 300 records no single bit can flip unnoticed: none of its checkpoint, its tiles, its records. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { type Files, flipAnything, flipCheckpoint, flipEntries, flipTiles } from './flipped-bits.ts';
import { createLogKey, publishedFiles } from './small-log.ts';

const GO = join(import.meta.dirname, '..', '..', '.cache', 'foreign-verifiers', 'foreign-verifiers');
const key = createLogKey();
let files: Files;
beforeAll(async () => {
  ({ files } = await publishedFiles(300, key));
});
const bitsOf = (wanted: RegExp) => [...files].filter(([path]) => wanted.test(path)).reduce((sum, [, { length }]) => sum + length * 8, 0);

describe('of a log of 300 records', () => {
  test('every bit of the checkpoint', async () => {
    expect(await flipCheckpoint(files, key.vkey)).toEqual({ flipped: bitsOf(/^checkpoint$/), missed: [] });
  });

  test('every bit of every tile', async () => {
    expect(await flipTiles(files, key.vkey)).toEqual({ flipped: bitsOf(/^tile\/[0-9]/), missed: [] });
  });

  test('every bit of every record and of its length', async () => {
    const { flipped, missed } = await flipEntries(files);
    expect([flipped, missed]).toEqual([bitsOf(/^tile\/entries/), []]);
    expect(flipped).toBeGreaterThan(500_000);
  });

  (existsSync(GO) ? test : test.skip)(
    'and Go finds all of them, but for bits of base64 that decode to nothing, which we refuse',
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'wv-flips-'));
      try {
        for (const [path, bytes] of files) {
          mkdirSync(dirname(join(folder, path)), { recursive: true });
          writeFileSync(join(folder, path), bytes);
        }
        const { stdout } = await promisify(execFile)(GO, ['flips', folder, key.vkey]);
        const { checkpoint, tiles, entries } = JSON.parse(stdout) as Record<string, { flipped: number; accepted: string[] | null }>;
        expect([tiles, entries]).toEqual([
          { flipped: bitsOf(/^tile\/[0-9]/), accepted: null },
          { flipped: bitsOf(/^tile\/entries/), accepted: null },
        ]);
        expect(checkpoint?.flipped).toBe(bitsOf(/^checkpoint$/));
        // 68 bytes of key id and signature: before the padding one character with two bits that decode to nothing.
        const last = (files.get('checkpoint')?.length ?? 0) - 3;
        for (const one of checkpoint?.accepted ?? []) expect(one).toMatch(new RegExp(`^checkpoint ${last}\\.[0-7]$`));
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );

  test('and one bit of every 400th byte, by the verifier of the whole log', async () => {
    expect((await flipAnything(files, key.vkey, 400, (at) => at % 8)).missed).toEqual([]);
  });
});

/** What of a folder is published, and that it must hold still while it is read. */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { findSources, steadyBytes } from '../../src/cli/source-files.ts';
import { codeOf } from '../../src/domain/errors.ts';

const root = mkdtempSync(join(tmpdir(), 'wv-sources-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folder = '';
let turn = 0;
beforeEach(() => {
  folder = join(root, String(++turn));
  mkdirSync(folder);
});
const write = (name: string, bytes: string | Buffer = name) => writeFileSync(join(folder, name), bytes);
const failure = (work: Promise<unknown>) => work.then(() => undefined, codeOf);
const found = async (follow = false) => (await findSources(folder, follow)).files.map(({ path, size }) => [path, size]);

describe('the files of a folder', () => {
  test('are found below it, in order of path, with NFC names', async () => {
    mkdirSync(join(folder, 'b'));
    for (const name of ['c', 'b/a', 'u\u0308', '.hidden']) write(name, 'xyz');
    expect(await found()).toEqual([
      ['.hidden', 3],
      ['b/a', 3],
      ['c', 3],
      ['\u00fc', 3],
    ]);
  });

  test('none is usage, and so is a folder that is not there', async () => {
    expect(await failure(findSources(folder, false))).toBe('usage');
    expect(await failure(findSources(join(folder, 'nowhere'), false))).toBe('usage');
  });

  test('two that are one file somewhere are refused before anything is sent', async () => {
    write('Weights.bin');
    write('weights.bin');
    expect(await failure(findSources(folder, false))).toBe('usage');
  });

  test('links: to a file, a folder, away, to nothing, round and round', async () => {
    mkdirSync(join(folder, 'in'));
    write('in/a', '1');
    writeFileSync(join(root, 'away'), '22');
    symlinkSync('in', join(folder, 'folder'));
    symlinkSync(join(root, 'away'), join(folder, 'away'));
    expect(await failure(findSources(folder, false))).toBe('usage');
    expect(await found(true)).toEqual([
      ['away', 2],
      ['folder/a', 1],
      ['in/a', 1],
    ]);
    expect((await findSources(folder, true)).outside).toEqual([`away -> ${join(root, 'away')}`]);
    symlinkSync('..', join(folder, 'in', 'round'));
    expect(await failure(findSources(folder, true))).toBe('usage');
    rmSync(join(folder, 'in', 'round'));
    symlinkSync('nothing', join(folder, 'dangling'));
    expect(await failure(findSources(folder, true))).toBe('usage');
  });
});

describe('a file that changes while it is read', () => {
  const MIB = 1024 * 1024;
  beforeEach(async () => {
    write('model.bin', Buffer.alloc(3 * MIB, 1));
    await sleep(50); // the kernel's times are some milliseconds coarse
  });

  async function read(change: (chunk: number) => void): Promise<number> {
    const [file] = (await findSources(folder, false)).files;
    if (file === undefined) throw new Error('no file');
    let [bytes, chunks] = [0, 0];
    for await (const chunk of steadyBytes(file)) {
      bytes += chunk.length;
      change(chunks++);
    }
    return bytes;
  }

  test('is whole when it does not', async () => {
    expect(await read(() => undefined)).toBe(3 * MIB);
  });

  test.each<[string, () => void]>([
    ['grows', () => appendFileSync(join(folder, 'model.bin'), 'x')],
    ['shrinks', () => writeFileSync(join(folder, 'model.bin'), Buffer.alloc(2 * MIB, 1))],
    ['is written over, byte for byte as long', () => writeFileSync(join(folder, 'model.bin'), Buffer.alloc(3 * MIB, 2))],
    [
      'is written over and its time set back',
      () => {
        writeFileSync(join(folder, 'model.bin'), Buffer.alloc(3 * MIB, 2));
        utimesSync(join(folder, 'model.bin'), 0, 0);
      },
    ],
  ])('%s: digest_mismatch', async (_what, change) => {
    expect(await failure(read((chunk) => chunk === 0 && change()))).toBe('digest_mismatch');
  });

  test('is replaced by a link after the folder was walked: not followed', async () => {
    const [file] = (await findSources(folder, false)).files;
    rmSync(join(folder, 'model.bin'));
    symlinkSync('/etc/hostname', join(folder, 'model.bin'));
    if (file === undefined) throw new Error('no file');
    expect(await failure(steadyBytes(file).next())).toBe('usage');
  });
});

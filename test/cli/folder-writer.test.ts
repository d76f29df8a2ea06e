import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { intoFolder } from '../../src/cli/folder-writer.ts';
import { utf8 } from '../../src/domain/bytes.ts';
import { VaultError } from '../../src/domain/errors.ts';

describe('a copy in a folder', () => {
  it('has what was written and appended, and only goes where nothing is', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'wv-copy-'));
    const at = join(folder, 'a', 'b');
    const write = () =>
      intoFolder(at, async (writer) => {
        await writer.write('tile/0/000', utf8('tile'));
        await writer.append('records', '1\n');
        await writer.append('records', '2\n');
      });
    await write();
    expect([readFileSync(join(at, 'tile/0/000'), 'utf8'), readFileSync(join(at, 'records'), 'utf8')]).toEqual(['tile', '1\n2\n']);
    await expect(write()).rejects.toMatchObject({ code: 'usage' });
    rmSync(folder, { recursive: true });
  });

  it('leaves nothing of itself when the work fails', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'wv-copy-'));
    const failed = intoFolder(folder, async (writer) => {
      await writer.write('checkpoint', utf8('x'));
      await writer.append('records', '1\n');
      throw new VaultError('log_incomplete', 'a tile is missing');
    });
    await expect(failed).rejects.toMatchObject({ code: 'log_incomplete' });
    expect(readdirSync(folder)).toEqual([]);
    rmSync(folder, { recursive: true });
  });

  it('is target_unwritable, in words, where no folder can be', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'wv-copy-'));
    writeFileSync(join(folder, 'file'), 'x');
    await expect(intoFolder(join(folder, 'file', 'below'), async () => undefined)).rejects.toMatchObject({ code: 'target_unwritable' });
    rmSync(folder, { recursive: true });
  });

  const disk = smallDisk();
  (disk === undefined ? it.skip : it)(
    'is target_unwritable on a full disk, and no half file stays (needs the right to mount a tmpfs)',
    async () => {
      const { at, unmount } = disk as NonNullable<typeof disk>;
      try {
        for (const work of [
          (writer: Parameters<Parameters<typeof intoFolder>[1]>[0]) => writer.write('tile/0/001', new Uint8Array(200_000)),
          (writer: Parameters<Parameters<typeof intoFolder>[1]>[0]) => writer.append('records', 'x'.repeat(200_000)),
        ]) {
          const failed = intoFolder(join(at, 'copy'), async (writer) => {
            await writer.write('tile/0/000', new Uint8Array(8_192));
            await work(writer);
          });
          await expect(failed).rejects.toMatchObject({ code: 'target_unwritable', detail: expect.stringContaining('the disk is full') });
          expect(readdirSync(join(at, 'copy'))).toEqual([]);
        }
      } finally {
        unmount();
      }
    },
  );
});

function smallDisk() {
  const at = mkdtempSync(join(tmpdir(), 'wv-small-'));
  mkdirSync(at, { recursive: true });
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', at]).status !== 0) {
    rmSync(at, { recursive: true });
    return undefined;
  }
  return {
    at,
    unmount: () => {
      spawnSync('umount', [at]);
      rmSync(at, { recursive: true });
    },
  };
}

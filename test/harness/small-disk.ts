/** A real file system that fills up: a small one in memory, where this process may mount one. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MIB = 1 << 20;

export function canMount(): boolean {
  const place = mkdtempSync(join(tmpdir(), 'wv-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', place], { stdio: 'ignore' });
    execFileSync('umount', [place]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** Fills the disk but for `left` bytes; answers how to free it. */
export function filled(disk: string, left = 0): () => void {
  const [filler, spare] = [join(disk, 'filler'), join(disk, 'spare')];
  if (left > 0) writeAll(spare, left);
  const ended = writeAll(filler, Number.POSITIVE_INFINITY);
  if (ended !== 'ENOSPC') throw new Error(`filling the disk ended in ${ended}`);
  rmSync(spare, { force: true });
  return () => rmSync(filler);
}

function writeAll(file: string, bytes: number): string | undefined {
  const opened = openSync(file, 'w');
  try {
    for (let at = 0; at < bytes; ) at += writeSync(opened, Buffer.alloc(Math.min(bytes - at, MIB)));
    return undefined;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  } finally {
    closeSync(opened);
  }
}

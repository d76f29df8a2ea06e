/** Whether this machine lets us mount small file systems in memory, to fill them. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const mountable = canMount();
export const whyNotMounted = mountable ? '' : ' (not run: mounting a file system needs root)';

function canMount(): boolean {
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

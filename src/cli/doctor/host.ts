/** Probes of the machine the vault runs on. */
import type { Facts } from './facts.ts';
import { type Finding, finding } from './findings.ts';

const OPEN_FILES = 4_096;

export function runAsRoot({ uid }: Facts): Finding {
  return uid === 0 ? finding('run_as_root', 'warning', 'this runs as root') : finding('run_as_root', 'ok', `user ${uid}`);
}

export function nodeVersion({ nodeVersion: has, pinnedNode }: Facts): Finding {
  if (has === pinnedNode) return finding('node_version', 'ok', `Node ${has}`);
  return finding('node_version', 'warning', `Node ${has}, and ${pinnedNode} is the one the tests ran on`);
}

/** core(5): a pattern that begins with a pipe gets the dump whatever the limit says. */
export function coreDumps(facts: Facts): Finding {
  const pattern = facts.text('/proc/sys/kernel/core_pattern')?.trim();
  const limit = limitOf(facts, 'Max core file size');
  if (pattern === undefined || limit === undefined) return finding('core_dumps', 'unknown', 'not readable here');
  const piped = pattern.startsWith('|') && !/^\|\s*\/(?:usr\/)?bin\/false\b/.test(pattern);
  if (piped) return finding('core_dumps', 'warning', 'core dumps are piped to a program, which no limit prevents');
  if (pattern.startsWith('|') || limit === '0') return finding('core_dumps', 'ok', 'no core is dumped');
  return finding('core_dumps', 'warning', `a crash may write up to ${limit} bytes of memory to a file`);
}

/** The kernel names the devices of dm-crypt `CRYPT-...`; zram is memory. */
export function swap(facts: Facts): Finding {
  const table = facts.text('/proc/swaps');
  if (table === undefined) return finding('swap', 'unknown', 'not readable here');
  const devices = table
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split(/\s+/)[0] ?? '');
  const plain = devices.filter((device) => !/^\/dev\/zram\d+$/.test(device) && !isEncrypted(facts, device));
  if (plain.length > 0) return finding('swap', 'warning', `not encrypted as far as can be seen: ${plain.join(', ')}`);
  return finding('swap', 'ok', devices.length === 0 ? 'none' : devices.join(', '));
}

function isEncrypted(facts: Facts, device: string): boolean {
  const name = /^\/dev\/(dm-\d+)$/.exec(device)?.[1];
  return name !== undefined && (facts.text(`/sys/block/${name}/dm/uuid`)?.startsWith('CRYPT-') ?? false);
}

export function ptrace(facts: Facts): Finding {
  const scope = facts.text('/proc/sys/kernel/yama/ptrace_scope')?.trim();
  if (scope === undefined)
    return finding('ptrace', 'warning', 'without Yama every process of the same user may read the memory of the vault');
  if (scope === '2' || scope === '3') return finding('ptrace', 'ok', `scope ${scope}`);
  const who =
    scope === '1' ? 'a parent may read the memory of its child' : 'every process of the same user may read the memory of the vault';
  return finding('ptrace', scope === '1' ? 'info' : 'warning', `scope ${scope}: ${who}`);
}

export function kernelLockdown(facts: Facts): Finding {
  const chosen = /\[(\w+)\]/.exec(facts.text('/sys/kernel/security/lockdown') ?? '')?.[1];
  if (chosen === undefined) return finding('kernel_lockdown', 'info', 'cannot be seen here');
  return finding('kernel_lockdown', chosen === 'none' ? 'info' : 'ok', chosen);
}

export async function clockSync(facts: Facts): Promise<Finding> {
  const said = (await facts.output('timedatectl', ['show', '--property=NTPSynchronized', '--value']))?.trim();
  if (said === 'yes') return finding('clock_sync', 'ok', 'synchronized');
  if (said === 'no') return finding('clock_sync', 'warning', 'not synchronized');
  const chrony = (await facts.output('chronyc', ['-n', 'tracking']))?.match(/^Leap status\s*:\s*(.+)$/m)?.[1];
  if (chrony === undefined) return finding('clock_sync', 'unknown', 'neither timedatectl nor chronyc answers');
  return finding('clock_sync', chrony === 'Normal' ? 'ok' : 'warning', `chrony: ${chrony}`);
}

export function openFiles(facts: Facts): Finding {
  const limit = limitOf(facts, 'Max open files');
  if (limit === undefined) return finding('open_files', 'unknown', 'not readable here');
  const enough = limit === 'unlimited' || Number(limit) >= OPEN_FILES;
  return finding('open_files', enough ? 'ok' : 'warning', `${limit} here`);
}

/** The soft limit of this process: whoever starts the vault may set another. */
function limitOf(facts: Facts, name: string): string | undefined {
  const line = facts
    .text('/proc/self/limits')
    ?.split('\n')
    .find((one) => one.startsWith(name));
  return line?.slice(name.length).trim().split(/\s+/)[0];
}

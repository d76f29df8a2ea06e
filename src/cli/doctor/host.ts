/** Probes of the machine the vault runs on. */
import type { Facts } from './facts.ts';
import { each, type Finding, finding } from './findings.ts';
import { type Running, statusOf } from './processes.ts';

const OPEN_FILES = 4_096;

export function runAsRoot({ uid }: Facts): Finding {
  return uid === 0 ? finding('run_as_root', 'warning', 'this runs as root') : finding('run_as_root', 'ok', `user ${uid}`);
}

export function nodeVersion({ nodeVersion: has, pinnedNode }: Facts): Finding {
  if (has === pinnedNode) return finding('node_version', 'ok', `Node ${has}`);
  return finding('node_version', 'warning', `Node ${has}, and ${pinnedNode} is the one the tests ran on`);
}

/** core(5): a pattern that begins with a pipe gets the dump whatever the limit says. */
export function coreDumps(facts: Facts, running: readonly Running[]): readonly Finding[] {
  const pattern = facts.text('/proc/sys/kernel/core_pattern')?.trim();
  if (pattern === undefined) return [finding('core_dumps', 'unknown', 'not readable here')];
  const piped = pattern.startsWith('|') && !/^\|\s*\/(?:usr\/)?bin\/false\b/.test(pattern);
  if (piped) return [finding('core_dumps', 'warning', 'core dumps are piped to a program, which no limit prevents')];
  if (pattern.startsWith('|')) return [finding('core_dumps', 'ok', 'no core is dumped')];
  const found = processesOf(running).flatMap(({ pid, name }) => {
    const limit = limitOf(facts, pid, 'Max core file size');
    if (limit === undefined) return [finding('core_dumps', 'unknown', `${name}not readable here`)];
    return limit === '0' ? [] : [finding('core_dumps', 'warning', `${name}a crash may write up to ${limit} bytes of memory to a file`)];
  });
  return each('core_dumps', found, `no core is dumped${whose(running)}`);
}

/** Those that run; else this process itself, whose limits may be another's. */
function processesOf(running: readonly Running[]): ReadonlyArray<{ readonly pid: number | 'self'; readonly name: string }> {
  if (running.length === 0) return [{ pid: 'self', name: '' }];
  return running.map(({ what, pid }) => ({ pid, name: `${what} (process ${pid}): ` }));
}

const whose = (running: readonly Running[]): string =>
  running.length === 0 ? '' : `; seen of ${running.map(({ what, pid }) => `${what} (process ${pid})`).join(', ')}`;

/** The kernel names the devices of dm-crypt `CRYPT-...`; zram is memory. */
export function swap(facts: Facts, running: readonly Running[]): readonly Finding[] {
  const table = facts.text('/proc/swaps');
  if (table === undefined) return [finding('swap', 'unknown', 'not readable here')];
  const devices = table
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split(/\s+/)[0] ?? '');
  const plain = devices.filter((device) => !/^\/dev\/zram\d+$/.test(device) && !isEncrypted(facts, device));
  if (plain.length === 0) return [finding('swap', 'ok', devices.length === 0 ? 'none' : devices.join(', '))];
  return [
    finding('swap', 'warning', `not encrypted as far as can be seen: ${plain.join(', ')}`),
    ...running.flatMap((one) => swapped(facts, one)),
  ];
}

/** Keys may be among it: what was written there stays when the process ends. */
function swapped(facts: Facts, { what, pid }: Running): readonly Finding[] {
  const kib = Number.parseInt(statusOf(facts, pid, 'VmSwap') ?? '', 10);
  return kib > 0 ? [finding('swap', 'critical', `${what} (process ${pid}): ${kib} KiB of its memory are in swap now`)] : [];
}

function isEncrypted(facts: Facts, device: string): boolean {
  const name = /^\/dev\/(dm-\d+)$/.exec(device)?.[1];
  return name !== undefined && (facts.text(`/sys/block/${name}/dm/uuid`)?.startsWith('CRYPT-') ?? false);
}

export function ptrace(facts: Facts, running: readonly Running[]): readonly Finding[] {
  return [ptraceScope(facts), ...running.flatMap((one) => traced(facts, one))];
}

function traced(facts: Facts, { what, pid }: Running): readonly Finding[] {
  const tracer = Number(statusOf(facts, pid, 'TracerPid') ?? 0);
  return tracer === 0
    ? []
    : [finding('ptrace', 'critical', `${what} (process ${pid}): process ${tracer} is attached to it and reads what it likes`)];
}

function ptraceScope(facts: Facts): Finding {
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

export function openFiles(facts: Facts, running: readonly Running[]): Finding {
  const vault = running.find(({ what }) => what === 'vault')?.pid;
  const limit = limitOf(facts, vault ?? 'self', 'Max open files');
  if (limit === undefined) return finding('open_files', 'unknown', 'not readable here');
  const enough = limit === 'unlimited' || Number(limit) >= OPEN_FILES;
  return finding('open_files', enough ? 'ok' : 'warning', `${limit} ${vault === undefined ? 'here' : `of the vault (process ${vault})`}`);
}

/** The soft limit. */
function limitOf(facts: Facts, pid: number | 'self', name: string): string | undefined {
  const line = facts
    .text(`/proc/${pid}/limits`)
    ?.split('\n')
    .find((one) => one.startsWith(name));
  return line?.slice(name.length).trim().split(/\s+/)[0];
}

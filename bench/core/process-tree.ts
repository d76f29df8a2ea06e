/** What a server and all its children cost, out of /proc (proc(5)). Linux only, as the rest of the product. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const MIB = 1024 * 1024;
let ticks: number | undefined;

/** The process and its descendants that live now. */
export function treeOf(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(treeOf)];
}

function childrenOf(pid: number): number[] {
  const threads = orNothing(() => readdirSync(`/proc/${pid}/task`)) ?? [];
  const lists = threads.map((thread) => orNothing(() => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8')) ?? '');
  return lists.flatMap((list) => list.trim().split(/\s+/).filter(Boolean).map(Number));
}

/** utime + stime of the tree. The kernel counts in 10 ms: measure something that takes a second. */
export function cpuSeconds(pid: number): number {
  ticks ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  const perSecond = ticks;
  return treeOf(pid).reduce((sum, one) => sum + ticksOf(one) / perSecond, 0);
}

/** Fields 14 and 15; the second, in brackets, may hold spaces. */
function ticksOf(pid: number): number {
  const text = orNothing(() => readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? '';
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
}

/** Resident memory of the tree, MiB. */
export function residentMib(pid: number): number {
  const bytes = treeOf(pid).reduce((sum, one) => {
    const text = orNothing(() => readFileSync(`/proc/${one}/status`, 'utf8')) ?? '';
    return sum + Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
  }, 0);
  return bytes / MIB;
}

/** A process may end while we look at it. */
function orNothing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** The system calls with which a process changes its files: which there are, counted in an undisturbed run under strace, and points spread over them. */
import { basename } from 'node:path';

/** All calls that a process makes of one kind upon one file. */
export interface Site {
  readonly call: string;
  /** Name of the file in the folder of the run; empty for the folder itself. */
  readonly file: string;
  readonly times: number;
}

/** The n-th call of a site. */
export interface Point {
  readonly call: string;
  readonly file: string;
  readonly when: number | string;
}

export const CHANGING = ['pwrite64', 'write', 'fsync', 'fdatasync', 'rename', 'ftruncate', 'unlink'] as const;

/** Out of what `strace -f -y` wrote: only calls upon `folder` and what lies in it. */
export function sitesIn(trace: string, folder: string): readonly Site[] {
  const found = new Map<string, Site>();
  for (const line of trace.split('\n')) {
    const [, call = '', path = ''] = /^\d+ +([a-z0-9_]+)\((?:\d+<([^>]*)>|"[^"]*")/.exec(line) ?? [];
    const named = path === '' ? (/\("([^"]*)"/.exec(line)?.[1] ?? '') : path;
    if (call === '' || (named !== folder && !named.startsWith(`${folder}/`))) continue;
    const file = named === folder ? '' : basename(named);
    const key = `${call} ${file}`;
    found.set(key, { call, file, times: (found.get(key)?.times ?? 0) + 1 });
  }
  return [...found.values()];
}

/**
 * About `count` points, in order within each site: all calls of the rare sites, of the others as many each, evenly spread from a random one on. The same
 * numbers give the same points.
 */
export function pointsOf(sites: readonly Site[], count: number, random: () => number): readonly Point[] {
  const share = fairShare(sites, count);
  return sites.flatMap(({ call, file, times }) => {
    const wanted = Math.min(times, share);
    const start = random();
    return Array.from({ length: wanted }, (_, at) => ({ call, file, when: 1 + Math.floor(((at + start) * times) / wanted) }));
  });
}

/** How many of each site make `count` in all, where some have fewer. */
function fairShare(sites: readonly Site[], count: number): number {
  let share = 0;
  const total = (each: number) => sites.reduce((sum, { times }) => sum + Math.min(times, each), 0);
  while (total(share) < count && total(share + 1) > total(share)) share++;
  return share;
}

/** mulberry32: the same seed, the same numbers. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** What a running process holds: its heap snapshot, and its writable memory as the kernel shows it. */
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const CHUNK = 16 << 20;

/** Number of places in the process's writable memory that hold these bytes. Undefined where the kernel does not let us look. */
export function timesInMemory(pid: number, wanted: Uint8Array): number | undefined {
  const maps = readFileSync(`/proc/${pid}/maps`, 'utf8');
  let memory: number;
  try {
    memory = openSync(`/proc/${pid}/mem`, 'r');
  } catch {
    return undefined;
  }
  let found = 0;
  try {
    for (const line of maps.split('\n')) {
      const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
      if (from === undefined || to === undefined) continue;
      for (let at = BigInt(`0x${from}`); at < BigInt(`0x${to}`); at += BigInt(CHUNK)) {
        const length = Math.min(CHUNK + wanted.length - 1, Number(BigInt(`0x${to}`) - at));
        found += timesIn(read(memory, at, length), wanted, CHUNK);
      }
    }
  } finally {
    closeSync(memory);
  }
  return found;
}

function read(memory: number, at: bigint, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  try {
    return buffer.subarray(0, readSync(memory, buffer, 0, length, at));
  } catch {
    return Buffer.alloc(0); // a guard page, or one that went away
  }
}

function timesIn(bytes: Buffer, wanted: Uint8Array, before: number): number {
  let times = 0;
  for (let at = bytes.indexOf(wanted); at >= 0 && at < before; at = bytes.indexOf(wanted, at + 1)) times++;
  return times;
}

/** Flags of a Node process whose heap can be asked for with `heapSnapshot`. Not those of a process in use: SIGUSR2 makes it write its heap to a file. */
export const snapshotFlags = (folder: string): readonly string[] => ['--heapsnapshot-signal=SIGUSR2', `--diagnostic-dir=${folder}`];

/** The heap of a process that was started with `snapshotFlags(folder)`, as text. */
export async function heapSnapshot(pid: number, folder: string): Promise<string> {
  const before = new Set(readdirSync(folder));
  process.kill(pid, 'SIGUSR2');
  for (let tries = 0; tries < 1_200; tries++) {
    await sleep(100);
    const made = readdirSync(folder).find((name) => name.endsWith('.heapsnapshot') && !before.has(name));
    const text = made === undefined ? '' : readFileSync(join(folder, made), 'utf8');
    if (text.trimEnd().endsWith('}')) return text;
  }
  throw new Error('the process wrote no heap snapshot in two minutes');
}

/** Durable records a second, beside a loop that writes as many bytes and calls fdatasync on the same disk in the same minute. */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchOptions, Report } from '../area.ts';
import { quantile } from '../core/rounds.ts';
import type { BenchLog } from './bench-log.ts';

/** About what a record takes. */
const RECORD_BYTES = 900;
const GROUP = 256;

/** `record()` in a closed loop by `callers`, for `seconds`. */
export async function rate(callers: number, seconds: number, record: (at: number) => Promise<void>) {
  const times: number[] = [];
  let at = 0;
  const startedAt = performance.now();
  const until = startedAt + seconds * 1000;
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (performance.now() < until) {
        const began = performance.now();
        await record(at++);
        times.push(performance.now() - began);
      }
    }),
  );
  const perSecond = (times.length / (performance.now() - startedAt)) * 1000;
  return { times, perSecond, p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99) };
}

function rawLoop(folder: string, records: number, seconds: number): number {
  const file = join(folder, 'raw');
  const handle = openSync(file, 'w');
  const bytes = Buffer.alloc(RECORD_BYTES * records, 'x');
  const startedAt = performance.now();
  let written = 0;
  while (performance.now() < startedAt + seconds * 1000) {
    writeSync(handle, bytes);
    fdatasyncSync(handle);
    written += records;
  }
  const perSecond = (written / (performance.now() - startedAt)) * 1000;
  closeSync(handle);
  rmSync(file);
  return perSecond;
}

export async function measureAppends(log: BenchLog, { quick }: BenchOptions, report: Report): Promise<void> {
  const seconds = quick ? 0.2 : 5;
  const single = await rate(1, seconds, log.append);
  report.row({
    name: 'durable records, one caller',
    value: single.perSecond,
    unit: 'records/s',
    peer: 'write and fdatasync, one record',
    peerValue: rawLoop(log.folder, 1, seconds),
  });
  const grouped = await rate(GROUP, seconds, log.append);
  report.row({
    name: `durable records, ${GROUP} callers`,
    value: grouped.perSecond,
    unit: 'records/s',
    peer: `write and fdatasync, ${GROUP} records`,
    peerValue: rawLoop(log.folder, GROUP, seconds),
    target: { of: 'value', atLeast: 15_000 },
  });
  report.row({
    name: 'added to a release by its record, durable, p50',
    value: single.p50Ms,
    unit: 'ms',
    target: { of: 'value', atMost: 3 },
  });
  report.row({ name: 'added to a release by its record, durable, p99', value: single.p99Ms, unit: 'ms' });
  const busy = await busyLatency(log, seconds);
  report.row({ name: 'the same while 16 others write, are signed and indexed, p50', value: busy.p50Ms, unit: 'ms' });
  report.row({ name: 'the same while 16 others write, are signed and indexed, p99', value: busy.p99Ms, unit: 'ms' });
}

async function busyLatency(log: BenchLog, seconds: number) {
  let going = true;
  const background = (async () => {
    while (going) {
      await log.publishAll();
      await log.indexAll();
    }
  })();
  const measured = await rate(16, seconds, log.append);
  going = false;
  await background;
  return measured;
}

/** The access log: how fast records become durable, are found, verified and proven. */
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { measureAlertLatency } from '../access-log/alert-latency.ts';
import { measureAppends } from '../access-log/appends.ts';
import { makeLog } from '../access-log/bench-log.ts';
import { measureFailingSinks } from '../access-log/failing-sinks.ts';
import { measureHugeTree } from '../access-log/huge-tree.ts';
import { measureLongLog } from '../access-log/long-log.ts';
import { measureOpenBao } from '../access-log/openbao.ts';
import type { BenchOptions, Report } from '../area.ts';

export const about =
  'durable records a second beside raw fdatasync and beside failing sinks, search and verification of 1 M records, proofs in 10 M, how soon an alert arrives';

/** Not the temporary folder: that is memory on many machines, and fsync there costs nothing. */
const PLACE = fileURLToPath(new URL('../../.cache/bench', import.meta.url));

export async function run(options: BenchOptions, report: Report): Promise<void> {
  mkdirSync(PLACE, { recursive: true });
  const parts = {
    appends: measureAppends,
    'failing sinks': measureFailingSinks,
    OpenBao: measureOpenBao,
    'a long log': measureLongLog,
    'a huge tree': measureHugeTree,
  };
  for (const [name, measure] of Object.entries(parts)) {
    const log = await makeLog(PLACE);
    try {
      await measure(log, options, report);
    } catch (error) {
      report.failed(name, error);
    } finally {
      await log.remove();
    }
  }
  await measureAlertLatency(options, report).catch((error: unknown) => report.failed('alerts', error));
}

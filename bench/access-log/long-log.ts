/** A long log: how fast it is verified and searched. */

import type { SearchField } from '../../src/audit/search/entry.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { findPage, type LogQuery } from '../../src/vault/search-log.ts';
import type { BenchOptions, Report } from '../area.ts';
import { type BenchLog, MODELS, SUBJECTS } from './bench-log.ts';

const LEAVES = 1_000_000;
const PAGE = 100;

export async function measureLongLog(log: BenchLog, { quick }: BenchOptions, report: Report): Promise<void> {
  const leaves = quick ? 3_000 : LEAVES;
  const { size, ms } = await fill(log, leaves);
  report.note(`${size} records appended and signed in ${(ms / 1000).toFixed(0)} s`);
  await measureIndex(log, size, report);
  await measureSearch(log, size, report);
  await measureVerify(log, size, report);
}

async function fill(log: BenchLog, leaves: number) {
  const startedAt = performance.now();
  const { unitOfWork, log: store } = log.stores;
  const before = await unitOfWork.run((tx) => store.assignedSize(tx));
  for (let at: number = before; at < leaves; at += 2_000) {
    await log.appendAll(at, Math.min(leaves, at + 2_000));
    if (at % 100_000 < 2_000) await log.publishAll();
  }
  await log.publishAll();
  return { size: await unitOfWork.run((tx) => store.assignedSize(tx)), ms: performance.now() - startedAt };
}

/** From an empty index, as after `wv log index --rebuild`, with nothing else to do. */
async function measureIndex(log: BenchLog, size: number, report: Report): Promise<void> {
  const startedAt = performance.now();
  await log.indexAll();
  const seconds = (performance.now() - startedAt) / 1000;
  report.row({ name: `index ${size} records for search`, value: seconds, unit: 's', target: { of: 'value', atMost: 120 } });
}

const QUERIES = (
  minBytes: number,
): Readonly<Record<string, Partial<Omit<LogQuery, 'says'>> & { says?: Partial<Record<SearchField, string>> }>> => ({
  'the newest': {},
  'of a principal': { says: { principal: String(SUBJECTS[17]) } },
  'of a model, refused': { says: { model: String(MODELS[7]), outcome: 'deny' } },
  'of a principal, refused, oldest first': { says: { principal: String(SUBJECTS[18]), outcome: 'deny' }, order: 'oldest' },
  'by a reason': { says: { reason: 'measurement_mismatch' } },
  'by a measurement': { says: { measurement: 'host-3' } },
  'by a measurement that nobody had': { says: { measurement: 'nobody' } },
  'a model and a principal that never met': { says: { model: String(MODELS[1]), principal: String(SUBJECTS[2]) } },
  'the largest releases': { minBytes },
  'in a time, of a type': { says: { type: 'release.end' }, from: new Date(Date.now() - 600_000), to: new Date() },
});

async function measureSearch(log: BenchLog, size: number, report: Report): Promise<void> {
  const vault = { stores: log.stores };
  for (const [name, query] of Object.entries(QUERIES(size * 990))) {
    const times: number[] = [];
    for (let round = 0; round < 5; round++) {
      const startedAt = performance.now();
      await findPage({ says: {}, order: 'newest', limit: PAGE, ...query }, vault);
      times.push(performance.now() - startedAt);
    }
    report.row({ name: `search ${name}, ${size} records`, value: Math.max(...times), unit: 'ms', target: { of: 'value', atMost: 100 } });
  }
}

async function measureVerify({ stores, vkey }: BenchLog, size: number, report: Report): Promise<void> {
  const { unitOfWork, log } = stores;
  const source = {
    checkpoint: async () => (await unitOfWork.run((tx) => log.head(tx)))?.checkpoint ?? new Uint8Array(0),
    tile: (path: string) => unitOfWork.run((tx) => log.tile(tx, path)),
  };
  const startedAt = performance.now();
  const { ok, problems } = await verifyLog(source, vkey);
  const seconds = (performance.now() - startedAt) / 1000;
  if (!ok) throw new Error(`the log does not verify: ${problems[0]?.detail}`);
  report.row({ name: `verify all of ${size} records`, value: seconds, unit: 's', target: { of: 'value', atMost: 20 } });
  report.row({ name: 'verify', value: size / seconds, unit: 'records/s' });
}

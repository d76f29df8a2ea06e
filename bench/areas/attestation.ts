/** Appraisals per second of one core, warm, per kind; and that the number of reference values does not matter. */
import { isRefusal } from '../../src/domain/evidence.ts';
import type { BenchOptions, Report } from '../area.ts';
import { appraisalOf, type KindBench, type Sample } from '../attestation/kind.ts';
import { KIND_BENCHES } from '../attestation/kinds.ts';
import { median } from '../core/rounds.ts';

export const about = 'appraisals a second of each kind of evidence, and under 10,000 reference values';

/** In force beside the one that matches. */
const MANY = 10_000;
/** Noise of a shared machine is below this; a search through the list would be a hundred times above. */
const SAME = 1.25;

export async function run(options: BenchOptions, report: Report): Promise<void> {
  report.note('issuers and collateral were verified before; leaf certificate and evidence are verified each time; by processor time');
  for (const one of KIND_BENCHES) await measure(one, options, report).catch((error) => report.failed(one.name, error));
}

async function measure({ name, atLeast, prepare }: KindBench, { rounds, quick }: BenchOptions, report: Report): Promise<void> {
  const sample = await prepare();
  const [few, many] = [appraisalOf(sample, 1), appraisalOf(sample, MANY)];
  const times = quick ? 5 : 300;
  const seconds = { few: [] as number[], many: [] as number[] };
  for (const appraise of [few, many]) await cpuSeconds(appraise, 3); // warm
  for (let round = 0; round < rounds; round++) {
    seconds.few.push((await cpuSeconds(few, times)) / times);
    seconds.many.push((await cpuSeconds(many, times)) / times);
  }
  report.row({ name, value: 1 / median(seconds.few), unit: 'appraisals/s', target: { of: 'value', atLeast } });
  report.row({
    name: `${name}, cost under ${MANY} reference values`,
    value: median(seconds.many) * 1000,
    unit: 'ms',
    peer: 'under one',
    peerValue: median(seconds.few) * 1000,
    target: { of: 'ratio', atMost: SAME },
  });
  await measureRefusal(name, sample, { rounds, times }, report);
}

/** What a stranger gets who matches nothing: the reason must not cost more the more values there are. */
async function measureRefusal(
  name: string,
  sample: Sample,
  { rounds, times }: { rounds: number; times: number },
  report: Report,
): Promise<void> {
  const refused = appraisalOf(sample, MANY, 1);
  const seconds: number[] = [];
  await cpuSeconds(refused, 3, isRefusal);
  for (let round = 0; round < rounds; round++) seconds.push((await cpuSeconds(refused, times, isRefusal)) / times);
  report.row({ name: `${name}, a refusal under ${MANY} others`, value: median(seconds) * 1000, unit: 'ms' });
}

/** Of this process, its garbage collector included: neighbours on the machine do not count. */
async function cpuSeconds(appraise: ReturnType<typeof appraisalOf>, times: number, isWanted = isNoRefusal): Promise<number> {
  const before = process.cpuUsage();
  for (let i = 0; i < times; i++) {
    const answer = await appraise();
    if (!isWanted(answer)) throw new Error(isRefusal(answer) ? `${answer.code}: ${answer.detail}` : 'nothing was refused');
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000_000;
}

function isNoRefusal(answer: Awaited<ReturnType<ReturnType<typeof appraisalOf>>>): boolean {
  return !isRefusal(answer);
}

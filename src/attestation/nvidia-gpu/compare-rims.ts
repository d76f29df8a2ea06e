/** Does a device run what NVIDIA released? Its measurements against the active ones of its driver's and its VBIOS's RIM (nvtrust, verifier.py). */
import { toHex } from '../../domain/bytes.ts';
import type { ReportFacts } from './opaque.ts';
import type { NvidiaReport } from './report.ts';
import type { GoldenMeasurement, Rim } from './rim.ts';

/** Measures the video decoder's firmware, which is only there while the decoder is on. */
const NVDEC0_INDEX = 36;

export interface Compared {
  /** Something was compared. RIMs without active entries prove nothing. */
  readonly isMeaningful: boolean;
  /** Indexes that no RIM explains, from 1: the value is none of the golden ones, or two RIMs claim the place. */
  readonly wrong: readonly number[];
}

export function compareWithRims(report: NvidiaReport, { isNvdec0On }: ReportFacts, rims: readonly Rim[]): Compared {
  const active = rims.flatMap(({ measurements }) => measurements.filter(({ isActive }) => isActive));
  const asked = active.filter(({ index }) => index !== NVDEC0_INDEX || isNvdec0On !== false);
  const wrong = asked.filter((golden) => !matches(golden, report) || isClaimedTwice(golden, active)).map(({ index }) => index);
  return { isMeaningful: asked.length > 0, wrong: [...new Set(wrong)].toSorted((a, b) => a - b) };
}

function matches({ index, values }: GoldenMeasurement, { measurements }: NvidiaReport): boolean {
  const measured = measurements.get(index);
  return measured !== undefined && values.includes(toHex(measured));
}

function isClaimedTwice({ index }: GoldenMeasurement, active: readonly GoldenMeasurement[]): boolean {
  return active.filter((other) => other.index === index).length > 1;
}

/** Whatever is shown is judged within 50 ms of processor time and 16 MiB, whoever made it to cost more. Measured in a process of its own. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { EVIDENCE_FORMATS } from '../../src/cli/evidence-formats.ts';
import type { Measured } from './measure-bounds.ts';

const MAX_CPU_MS = 50;
/** What the reference work of measure-bounds.ts takes where the figure above was set; on a slower or busier machine everything may take more. */
const REFERENCE_MS = 8;
const MAX_MIB = 16;
/** MiB of each half of the young generation: nothing of one input is collected before it is judged. */
const YOUNG = 64;
const SCRIPT = fileURLToPath(new URL('measure-bounds.ts', import.meta.url));
const FLAGS = ['--expose-gc', `--min-semi-space-size=${YOUNG}`, `--max-semi-space-size=${YOUNG}`];

test('hostile evidence of every format is judged within 50 ms of processor time and 16 MiB', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [...FLAGS, SCRIPT], { maxBuffer: 4_194_304, env: {} });
  const [reference = '', ...lines] = stdout.trim().split('\n');
  const measured = lines.map((line) => JSON.parse(line) as Measured); // ours
  const slower = Math.max(1, (JSON.parse(reference) as { referenceMs: number }).referenceMs / REFERENCE_MS);
  expect(new Set(measured.map(({ format }) => format))).toEqual(new Set(Object.keys(EVIDENCE_FORMATS)));
  expect(measured.filter(({ cpuMs, allocatedMiB }) => cpuMs > MAX_CPU_MS * slower || allocatedMiB > MAX_MIB)).toEqual([]);
  // Nothing of it is authentic, but what is honest and only long: a boot log, which nobody signs, and a list of an authority of ours.
  const authentic = measured.filter(({ valid }) => valid).map(({ format }) => format);
  expect(new Set(authentic)).toEqual(new Set(['tcg2-eventlog', 'x509-crl', 'x509-crl-check']));
});

/** Real evidence of machines that the shared vectors do not have, under the roots that the product ships; it stands in this checkout, with its source. */
import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import type { Examination } from '../../src/attestation/examination.ts';
import { pinnedRoots } from '../../src/attestation/pinned-roots.ts';
import { EVIDENCE_FORMATS } from '../../src/cli/evidence-formats.ts';
import { fromBase64 } from '../../src/domain/bytes.ts';

interface Published {
  readonly name: string;
  readonly format: string;
  readonly at: string;
  readonly evidence: string;
  readonly companions: Readonly<Record<string, string>>;
  readonly expected: Examination;
}

const file = new URL('../vectors/attestation/published.json', import.meta.url);
const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { readonly cases: readonly Published[] };

test.each(cases.map((one) => [one.name, one] as const))('%s: verdict and values are what another reader found', async (_, one) => {
  const examine = await EVIDENCE_FORMATS[one.format]?.load();
  const companions = Object.fromEntries(Object.entries(one.companions).map(([name, base64]) => [name, fromBase64(base64)]));
  const inputs = { evidence: fromBase64(one.evidence), companions, parameters: {}, now: new Date(one.at) };
  expect(await examine?.({ ...inputs, roots: pinnedRoots() })).toMatchObject(one.expected);
  expect(await examine?.({ ...inputs, roots: [] })).toMatchObject({ valid: false, accept: false });
});

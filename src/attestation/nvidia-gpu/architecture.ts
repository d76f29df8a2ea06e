/** Which generation a device is of: its certificates name the chip; without them the major version of its VBIOS tells. */
import type { Certificate } from '../x509/certificate.ts';
import { partOf } from '../x509/names.ts';
import type { ReportFacts } from './opaque.ts';

const BY_CHIP: ReadonlyArray<readonly [RegExp, string]> = [
  [/\bGH\d{3}\b/, 'HOPPER'],
  [/\bGB\d[0-9A-F]{2}\b/, 'BLACKWELL'],
  [/\bLS_?10\b/, 'LS10'],
];

/** 96.10 is the switch of the Hopper generation, 97 and 98 are Blackwell. */
const BY_VBIOS: ReadonlyArray<readonly [RegExp, string]> = [
  [/^96\.10\./, 'LS10'],
  [/^96\./, 'HOPPER'],
  [/^9[78]\./, 'BLACKWELL'],
];

/** Undefined when nothing says so. Only the certificate that signed is asked by name: LS10 hangs below an authority named after GH100. */
export function architectureOf([leaf]: readonly Certificate[], { vbiosVersion }: ReportFacts): string | undefined {
  const chip = leaf === undefined ? '' : (partOf(leaf.subject, 'CN') ?? '');
  const found = BY_CHIP.find(([pattern]) => pattern.test(chip)) ?? BY_VBIOS.find(([pattern]) => pattern.test(vbiosVersion ?? ''));
  return found?.[1];
}

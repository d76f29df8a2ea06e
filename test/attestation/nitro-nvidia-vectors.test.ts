/** Our own vectors, made once: what was read of them then is read of them for ever, without anybody's files beside this checkout. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import type { Examination, PinnedRoot } from '../../src/attestation/examination.ts';
import { examineNitroDocument } from '../../src/attestation/nitro/examine.ts';
import { examineNvidiaReport } from '../../src/attestation/nvidia-gpu/examine.ts';
import { examineNvidiaRim } from '../../src/attestation/nvidia-gpu/examine-rim.ts';
import { fromBase64 } from '../../src/domain/bytes.ts';

interface Case {
  readonly name: string;
  readonly expected: Examination;
}
interface NitroVectors {
  readonly at: string;
  readonly root: string;
  readonly cases: ReadonlyArray<Case & { readonly document: string }>;
}
interface NvidiaVectors {
  readonly at: string;
  readonly nonce: string;
  readonly deviceRoot: string;
  readonly rimRoot: string;
  readonly reports: ReadonlyArray<Case & { readonly report: string; readonly chain: string }>;
  readonly rims: ReadonlyArray<Case & { readonly xml: string }>;
}

const read = <T>(file: string) => JSON.parse(readFileSync(new URL(`../vectors/attestation/${file}`, import.meta.url), 'utf8')) as T;
const bytes = (text: string) => new Uint8Array(Buffer.from(text));
const root = (vendor: PinnedRoot['vendor'], name: string, base64: string): readonly PinnedRoot[] => [
  { vendor, name, certificate: fromBase64(base64) },
];

describe('a Nitro document of ours', () => {
  const { at, root: certificate, cases } = read<NitroVectors>('nitro.json');
  test.each(cases.map((one) => [one.name, one] as const))('%s', (_, { document, expected }) => {
    const roots = root('aws', 'aws-nitro-enclaves-root-g1', certificate);
    const inputs = { evidence: fromBase64(document), companions: {}, parameters: {}, roots, now: new Date(at) };
    expect(examineNitroDocument(inputs)).toEqual(expected);
  });
});

describe('an NVIDIA report or RIM of ours', () => {
  const { at, nonce, deviceRoot, rimRoot, reports, rims } = read<NvidiaVectors>('nvidia.json');
  const now = new Date(at);
  test.each(reports.map((one) => [one.name, one] as const))('report: %s', (_, { report, chain, expected }) => {
    const roots = root('nvidia', 'nvidia-device-identity-ca', deviceRoot);
    const asked = { companions: { chain: bytes(chain) }, parameters: { expected_nonce: nonce }, roots, now };
    expect(examineNvidiaReport({ evidence: fromBase64(report), ...asked })).toEqual(expected);
  });
  test.each(rims.map((one) => [one.name, one] as const))('RIM: %s', (_, { xml, expected }) => {
    const roots = root('nvidia', 'nvidia-corim-signing-root-ca', rimRoot);
    expect(examineNvidiaRim({ evidence: bytes(xml), companions: {}, parameters: {}, roots, now })).toMatchObject(expected);
  });
});

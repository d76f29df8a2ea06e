/** The body of `sev-snp` evidence (docs/formats/evidence-sev-snp.md). */
import * as z from 'zod';
import type { Refusal } from '../../domain/evidence.ts';
import { base64Bytes, parseBody } from '../body-form.ts';
import { MAX_CERTIFICATE_BYTES } from '../x509/certificate.ts';
import { REPORT_BYTES } from './report.ts';

/** Base64 as it travels. Written by attester.ts. */
export interface SnpBody extends Readonly<Record<string, unknown>> {
  readonly report: string;
  /** VCEK or VLEK, DER. Absent: the vault looks for it in what it keeps. */
  readonly certificate?: string;
  /** ASK or ASVK, DER. The same. */
  readonly intermediate?: string;
}

const bodyForm = z.strictObject({
  report: base64Bytes(REPORT_BYTES, REPORT_BYTES),
  certificate: base64Bytes(1, MAX_CERTIFICATE_BYTES).optional(),
  intermediate: base64Bytes(1, MAX_CERTIFICATE_BYTES).optional(),
});

export type SnpEvidence = z.output<typeof bodyForm>;

export function parseSnpEvidence(body: Readonly<Record<string, unknown>>): SnpEvidence | Refusal {
  return parseBody(bodyForm, body);
}

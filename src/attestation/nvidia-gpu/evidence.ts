/** The body of `nvidia-gpu` evidence: one device (docs/formats/evidence-nvidia-gpu.md). */
import * as z from 'zod';
import type { Refusal } from '../../domain/evidence.ts';
import { base64Bytes, parseBody } from '../body-form.ts';
import { MAX_CHAIN_BYTES } from './examine.ts';
import { MAX_REPORT_BYTES } from './report.ts';

/** Base64 as it travels. Written by attester.ts. */
export interface NvidiaBody extends Readonly<Record<string, unknown>> {
  /** SPDM request and response. */
  readonly report: string;
  /** PEM, from the certificate that signed up to the root. */
  readonly chain: string;
}

const bodyForm = z.strictObject({ report: base64Bytes(1, MAX_REPORT_BYTES), chain: base64Bytes(1, MAX_CHAIN_BYTES) });

export type NvidiaEvidence = z.output<typeof bodyForm>;

export function parseNvidiaEvidence(body: Readonly<Record<string, unknown>>): NvidiaEvidence | Refusal {
  return parseBody(bodyForm, body);
}

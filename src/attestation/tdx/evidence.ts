/** The body of `tdx` evidence (docs/formats/evidence-tdx.md). */
import * as z from 'zod';
import type { Refusal } from '../../domain/evidence.ts';
import { base64Bytes, parseBody } from '../body-form.ts';

/** Base64 as it travels. Written by attester.ts. */
export interface TdxBody extends Readonly<Record<string, unknown>> {
  readonly quote: string;
  /** CCEL: what was measured into the RTMRs. */
  readonly eventLog?: string;
}

/** Buffers around real quotes have 8 KiB. */
const MAX_QUOTE_IN_BODY_BYTES = 24_576;
/** A whole body, in base64, has at most 256 KiB (attestation/kinds.ts). Firmware reserves 64 KiB. */
export const MAX_LOG_BYTES = 163_840;

const bodyForm = z.strictObject({
  quote: base64Bytes(1, MAX_QUOTE_IN_BODY_BYTES),
  eventLog: base64Bytes(1, MAX_LOG_BYTES).optional(),
});

export type TdxEvidence = z.output<typeof bodyForm>;

export function parseTdxEvidence(body: Readonly<Record<string, unknown>>): TdxEvidence | Refusal {
  return parseBody(bodyForm, body);
}

/** The body of `tdx` evidence (docs/formats/evidence-tdx.md). */
import * as z from 'zod';
import type { Refusal } from '../../domain/evidence.ts';
import { base64Bytes, parseBody } from '../body-form.ts';
import { MAX_QUOTE_BYTES } from './quote.ts';

/** Base64 as it travels. Written by attester.ts. */
export interface TdxBody extends Readonly<Record<string, unknown>> {
  readonly quote: string;
}

const bodyForm = z.strictObject({ quote: base64Bytes(1, MAX_QUOTE_BYTES) });

export type TdxEvidence = z.output<typeof bodyForm>;

export function parseTdxEvidence(body: Readonly<Record<string, unknown>>): TdxEvidence | Refusal {
  return parseBody(bodyForm, body);
}

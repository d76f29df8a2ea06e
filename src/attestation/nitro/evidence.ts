/** The body of `nitro` evidence (docs/formats/evidence-nitro.md). */
import * as z from 'zod';
import type { Refusal } from '../../domain/evidence.ts';
import { base64Bytes, parseBody } from '../body-form.ts';
import { MAX_DOCUMENT_BYTES } from './document.ts';

/** Base64 as it travels. Written by attester.ts. */
export interface NitroBody extends Readonly<Record<string, unknown>> {
  readonly document: string;
}

const bodyForm = z.strictObject({ document: base64Bytes(1, MAX_DOCUMENT_BYTES) });

export function parseNitroEvidence(body: Readonly<Record<string, unknown>>): z.output<typeof bodyForm> | Refusal {
  return parseBody(bodyForm, body);
}

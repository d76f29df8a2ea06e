/**
 * What the first records of the access log say that a start must find again, found once and signed (docs/formats/log-summary.md). Not a document that
 * is kept: a newer one takes its place, and any one that is true will do.
 */
import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { lp } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { canonicalJson, parseCanonicalJson } from '../domain/json.ts';
import { verifySignature } from '../domain/signature.ts';
import { base64, count, head } from './body-parts.ts';

/** Words that records say are texts here: they were believed when they were read, and are compared, never used as ids. */
const said = z.string().max(16_384);

const summary = z.strictObject({
  ...head,
  origin: z.string().min(1).max(256),
  /** Of the tree that was read, from its signed root down to every record. */
  size: count,
  root: base64,
  slots: z.array(z.strictObject({ namespace: said, kind: said, item: said.optional(), counter: count })),
  stops: z.array(
    z.strictObject({
      stopId: said,
      namespace: said,
      scope: said,
      target: said.optional(),
      /** Milliseconds since 1970. */
      createdAtMs: z.int().min(0),
      /** The document that was last named to lift it. */
      lift: said.optional(),
    }),
  ),
});
export type LogSummary = z.output<typeof summary>;

export interface SignedLogSummary {
  /** Canonical JSON. */
  readonly bytes: Uint8Array;
  /** By the catalogue key. */
  readonly signature: Uint8Array;
}

/** LP("weight-vault log summary v1", bytes): no document can stand in for it, nor it for a document. */
export function logSummaryMessage(bytes: Uint8Array): Uint8Array {
  return lp('weight-vault log summary v1', bytes);
}

export async function signLogSummary(body: LogSummary, sign: (message: Uint8Array) => Promise<Uint8Array>): Promise<SignedLogSummary> {
  summary.parse(body); // our own mistake if it throws
  const bytes = canonicalJson(body);
  return { bytes, signature: await sign(logSummaryMessage(bytes)) };
}

/** Throws `document_invalid` for anything that the catalogue key did not sign as this. */
export function openLogSummary({ bytes, signature }: SignedLogSummary, catalogueKey: KeyObject): LogSummary {
  if (!verifySignature(catalogueKey, logSummaryMessage(bytes), signature))
    throw new VaultError('document_invalid', 'the summary of the log is not signed by the catalogue key');
  const body = summary.safeParse(parseCanonicalJson(bytes, 'document_invalid'));
  if (!body.success) throw new VaultError('document_invalid', 'the summary of the log does not have its form');
  return body.data;
}

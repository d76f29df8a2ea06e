/** The body of `tpm2` evidence (docs/formats/evidence-tpm2.md), from JSON to structures. Believes nothing yet. */
import { z } from 'zod';
import { fromBase64 } from '../../domain/bytes.ts';
import { type PcrBanks, type Refusal, refuse } from '../../domain/evidence.ts';
import { type EventLog, parseEventLog, UnusableLog } from '../event-log/event-log.ts';
import { BANK_BYTES, type BankName } from './algorithms.ts';
import { MAX_CERTIFICATE_BYTES } from './certificate.ts';
import { type HclReport, MAX_HCL_BYTES, parseHclReport } from './hcl-report.ts';
import { MAX_PUBLIC_BYTES, type PublicArea, parsePublicArea } from './public-area.ts';
import { MAX_QUOTE_BYTES, PCR_COUNT, parseQuote, type Quote } from './quote.ts';
import { Malformed, orRefusal } from './reader.ts';
import { MAX_SIGNATURE_BYTES, parseSignature, type TpmSignature } from './signature.ts';

/** Base64 and hex as they travel. Written by attester.ts, read by `parseTpm2Evidence`. */
export interface Tpm2Body extends Readonly<Record<string, unknown>> {
  /** TPMS_ATTEST. */
  readonly quote: string;
  /** TPMT_SIGNATURE. */
  readonly signature: string;
  /** TPM2B_PUBLIC of the attestation key. */
  readonly akPublic: string;
  readonly pcrs: PcrBanks;
  /** The TCG2 log of the boot (docs/formats/event-log.md). */
  readonly eventLog?: string;
  /** DER certificate of the attestation key, where a cloud certifies it. */
  readonly akCertificate?: string;
  /** DER certificates between it and the vault's anchor, in any order. */
  readonly akIntermediates?: readonly string[];
  /** The report of Azure's paravisor; of a SEV-SNP guest the certificates of its report, unless the vault keeps them; of a TDX guest the quote. */
  readonly hcl?: { readonly report: string; readonly certificate?: string; readonly intermediate?: string; readonly quote?: string };
}

export interface AkCertificateChain {
  readonly certificate: Uint8Array;
  readonly intermediates: readonly Uint8Array[];
}

export interface HclEvidence {
  readonly report: HclReport;
  readonly certificate?: Uint8Array | undefined;
  readonly intermediate?: Uint8Array | undefined;
  readonly quote?: Uint8Array | undefined;
}

export interface Tpm2Evidence {
  readonly quote: Quote;
  readonly signature: TpmSignature;
  readonly ak: PublicArea;
  readonly pcrs: PcrBanks;
  readonly eventLog?: EventLog;
  readonly akCertificate?: AkCertificateChain;
  readonly hcl?: HclEvidence;
}

/** Bytes; a log of a server is 20 to 60 KiB. */
export const MAX_EVENT_LOG_BYTES = 131_072;

/** Certificates between a key's own and the vault's anchor that may be sent. Real chains have one to three. */
export const MAX_INTERMEDIATES = 4;

/** Bytes; real ones have 5 KiB. */
export const MAX_TD_QUOTE_BYTES = 16_384;

/** Canonical base64 of at most `maximum` bytes; the length is looked at before the text is decoded. */
export function base64Bytes(maximum: number) {
  return z
    .string()
    .min(4)
    .max(Math.ceil(maximum / 3) * 4)
    .refine(isCanonicalBase64);
}

const bodySchema = z.strictObject({
  quote: base64Bytes(MAX_QUOTE_BYTES),
  signature: base64Bytes(MAX_SIGNATURE_BYTES),
  akPublic: base64Bytes(MAX_PUBLIC_BYTES),
  pcrs: z.strictObject({ sha1: bankSchema('sha1'), sha256: bankSchema('sha256'), sha384: bankSchema('sha384') }),
  eventLog: base64Bytes(MAX_EVENT_LOG_BYTES).optional(),
  akCertificate: base64Bytes(MAX_CERTIFICATE_BYTES).optional(),
  akIntermediates: z.array(base64Bytes(MAX_CERTIFICATE_BYTES)).min(1).max(MAX_INTERMEDIATES).optional(),
  hcl: z
    .strictObject({
      report: base64Bytes(MAX_HCL_BYTES),
      certificate: base64Bytes(MAX_CERTIFICATE_BYTES).optional(),
      intermediate: base64Bytes(MAX_CERTIFICATE_BYTES).optional(),
      quote: base64Bytes(MAX_TD_QUOTE_BYTES).optional(),
    })
    .optional(),
});

/** Shape, sizes and every structure of the body; a refusal names the member, never its content. */
export function parseTpm2Evidence(body: Readonly<Record<string, unknown>>): Tpm2Evidence | Refusal {
  const parsed = bodySchema.safeParse(body);
  if (!parsed.success) return refuse('evidence_malformed', describeIssue(parsed.error));
  const { quote, signature, akPublic, pcrs, eventLog, akCertificate, akIntermediates, hcl } = parsed.data;
  if (akIntermediates !== undefined && akCertificate === undefined)
    return refuse('evidence_malformed', 'akIntermediates without akCertificate');
  return orRefusal('evidence_malformed', () => ({
    quote: parseQuote(fromBase64(quote)),
    signature: parseSignature(fromBase64(signature)),
    ak: parsePublicArea(fromBase64(akPublic)),
    pcrs: presentBanks(pcrs),
    ...(eventLog !== undefined && { eventLog: readLog(fromBase64(eventLog)) }),
    ...(akCertificate !== undefined && {
      akCertificate: { certificate: fromBase64(akCertificate), intermediates: (akIntermediates ?? []).map(fromBase64) },
    }),
    ...(hcl !== undefined && {
      hcl: {
        report: parseHclReport(fromBase64(hcl.report)),
        certificate: hcl.certificate === undefined ? undefined : fromBase64(hcl.certificate),
        intermediate: hcl.intermediate === undefined ? undefined : fromBase64(hcl.intermediate),
        quote: hcl.quote === undefined ? undefined : fromBase64(hcl.quote),
      },
    }),
  }));
}

function readLog(bytes: Uint8Array): EventLog {
  try {
    return parseEventLog(bytes);
  } catch (error) {
    if (error instanceof UnusableLog) throw new Malformed(`eventLog: ${error.message}`);
    throw error;
  }
}

/** The first thing wrong: its path in our own words. Paths hold known members only, because unknown ones are reported at their parent. */
export function describeIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  const path = issue === undefined || issue.path.length === 0 ? 'the body' : issue.path.join('.');
  return issue?.code === 'unrecognized_keys' ? `${path} has an unknown member` : `${path} does not have the form it should`;
}

/** "0" to "23", each with a digest of the bank's length. */
function bankSchema(bank: BankName) {
  const value = z
    .string()
    .max(BANK_BYTES[bank] * 2)
    .regex(new RegExp(`^[0-9a-f]{${BANK_BYTES[bank] * 2}}$`));
  const shape = Object.fromEntries(Array.from({ length: PCR_COUNT }, (_, index) => [String(index), value.optional()]));
  return z.strictObject(shape).optional();
}

/** Drops what zod leaves as undefined. A bank without a PCR is refused: absence has one spelling. */
function presentBanks(banks: Readonly<Record<string, Readonly<Record<string, string | undefined>> | undefined>>): PcrBanks {
  const present: Record<string, Record<string, string>> = {};
  for (const [bank, values] of Object.entries(banks)) {
    if (values === undefined) continue;
    const entries = Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined);
    if (entries.length === 0) throw new Malformed(`pcrs.${bank} is empty`);
    present[bank] = Object.fromEntries(entries);
  }
  return present;
}

function isCanonicalBase64(text: string): boolean {
  return Buffer.from(text, 'base64').toString('base64') === text;
}

/**
 * Examination of one TPM quote with what came along (docs/evidence-check.md): its signature and key, why that key is trusted, nonce, PCR values,
 * boot log. Every finding is reported, not only the first. The vault itself decides in verifier.ts, by a challenge of its own.
 */
import { toHex } from '../../domain/bytes.ts';
import type { PcrBanks } from '../../domain/evidence.ts';
import { type EventLog, parseEventLog, UnusableLog } from '../event-log/event-log.ts';
import { factsOf } from '../event-log/facts.ts';
import type { Examination, ExaminationInputs } from '../examination.ts';
import { parseStrictObject } from '../strict-json.ts';
import { shownHashName } from './algorithms.ts';
import { compareWithLog, unloggedPcrs } from './boot-log.ts';
import { readAttestationKeys } from './examine-keys.ts';
import { examineTrust, type ReportExaminations } from './examine-trust.ts';
import { Findings, type TpmReason } from './findings.ts';
import { attestKind, MAX_QUOTE_BYTES, parseAsQuote, parseQuote, parseStatement, pcrDigest, type Quote, type Statement } from './quote.ts';
import { orUndefined } from './reader.ts';
import { parseSignature, signatureVerifies, type TpmSignature } from './signature.ts';

/** Magic and type: without them it is nothing. */
const SHORTEST_BYTES = 6;
/** Three banks of 24 values are below 8 KiB. */
const MAX_PCRS_BYTES = 16_384;

/** `reports`: the hardware reports Azure binds its vTPM with are other kinds' to examine. */
export function createTpmQuoteExamination(reports: ReportExaminations): (inputs: ExaminationInputs) => Promise<Examination<TpmReason>> {
  return (inputs) => examineQuote(inputs, reports);
}

async function examineQuote(inputs: ExaminationInputs, reports: ReportExaminations): Promise<Examination<TpmReason>> {
  const { evidence, companions, parameters } = inputs;
  const findings = new Findings();
  findings.read({ product: 'TPM 2.0', debug: null });
  if (evidence.length > MAX_QUOTE_BYTES) {
    findings.found('malformed');
    return findings.result();
  }
  const quote = readQuote(evidence, findings);
  const signature = readSignature(companions['signature'], findings);
  const shown = readAttestationKeys(companions, findings);
  const keys = [...shown, ...(await examineTrust(inputs, shown[0], reports, findings))];
  // Every form in which the key came must be the one that signed: a certificate of another key says nothing about this quote.
  if (signature === undefined || keys.length === 0 || !keys.every((key) => signatureVerifies(evidence, signature, key))) {
    findings.found('quote_signature_invalid');
  }
  if (quote === undefined) return findings.result();
  examineNonce(quote, parameters['expected_nonce'], findings);
  const pcrs = examinePcrs(quote, signature, companions['pcrs'], findings);
  examineLog(quote, pcrs, companions['eventlog'], findings);
  return findings.result();
}

/** Goes on after a wrong beginning, so that a person sees the rest: the finding stays. */
function readQuote(evidence: Uint8Array, findings: Findings): Quote | undefined {
  const kind = attestKind(evidence);
  if (kind !== 'quote') findings.found(...(evidence.length < SHORTEST_BYTES ? (['malformed'] as const) : []), kind);
  const quote = kind === 'quote' ? orFound(() => parseQuote(evidence), findings) : orUndefined(() => parseAsQuote(evidence));
  const statement = quote ?? orUndefined(() => parseStatement(evidence));
  if (statement !== undefined) describe(statement, findings);
  if (quote === undefined) return undefined;
  const digest = toHex(quote.pcrDigest);
  findings.read({
    pcr_selection: quote.selection.map(({ bank, indexes }) => [bank, indexes]),
    pcr_digest: digest,
    measurement: digest,
  });
  if (quote.selection.length > 0 && quote.selection.every(({ bank }) => bank === 'sha1')) findings.found('sha1_bank');
  return quote;
}

function describe(statement: Statement, findings: Findings): void {
  const nonce = toHex(statement.extraData);
  findings.read({
    nonce,
    report_data: nonce,
    clock: {
      clock: Number(statement.clock),
      reset: statement.resetCount,
      restart: statement.restartCount,
      safe: statement.safe ? 1 : 0,
    },
    firmware_version: statement.firmwareVersion,
    qualified_signer: statement.qualifiedSigner,
  });
}

function readSignature(bytes: Uint8Array | undefined, findings: Findings): TpmSignature | undefined {
  const signature = bytes && orFound(() => parseSignature(bytes, shownHashName), findings);
  if (signature?.scheme.hash === 'sha1') findings.found('sha1_signature');
  findings.read({ signature_scheme: signature?.scheme.name ?? null, signature_hash: signature?.scheme.hash ?? null });
  return signature;
}

/** Hex; absent when nobody asked for a nonce. An empty one is what the quote must then carry: it can be replayed for ever. */
function examineNonce(quote: Quote, expected: unknown, findings: Findings): void {
  if (expected === undefined || expected === null) return;
  if (typeof expected !== 'string' || expected.toLowerCase() !== toHex(quote.extraData)) findings.found('nonce_mismatch');
}

/** The values when they are what was quoted. Others beside them are nobody's word, and not looked at. */
function examinePcrs(
  quote: Quote,
  signature: TpmSignature | undefined,
  bytes: Uint8Array | undefined,
  findings: Findings,
): PcrBanks | undefined {
  if (bytes === undefined) {
    findings.found('pcr_values_missing');
    return undefined;
  }
  const pcrs = readPcrs(bytes);
  if (pcrs === undefined) findings.found('malformed');
  const hash = signature?.scheme.hash ?? 'sha256';
  const digest = pcrs && quote.selection.some(({ indexes }) => indexes.length > 0) ? pcrDigest(quote.selection, pcrs, hash) : undefined;
  if (digest !== undefined && toHex(digest) === toHex(quote.pcrDigest)) return pcrs;
  findings.found('pcr_digest_mismatch');
  return undefined;
}

function readPcrs(bytes: Uint8Array): PcrBanks | undefined {
  const json = bytes.length > MAX_PCRS_BYTES ? '' : parseStrictObject(bytes);
  if (typeof json === 'string') return undefined;
  const fits = Object.values(json).every(
    (bank) =>
      typeof bank === 'object' &&
      bank !== null &&
      Object.values(bank).every((value) => typeof value === 'string' && /^(?:[0-9a-f]{2})+$/.test(value)),
  );
  return fits ? (json as PcrBanks) : undefined; // every member looked at
}

/** A register the log extends must hold what the log says. Which are not in it is said, because others write there later. */
function examineLog(quote: Quote, pcrs: PcrBanks | undefined, bytes: Uint8Array | undefined, findings: Findings): void {
  findings.read({ event_log_events: null, event_log_unlogged_pcrs: null });
  if (bytes === undefined) return;
  const log = readLog(bytes, findings);
  if (log === undefined) return;
  findings.read({ event_log_events: log.events.length + 1, event_log_unlogged_pcrs: unloggedPcrs(log, quote.selection) });
  if (pcrs === undefined) return;
  if (compareWithLog(log, quote.selection, pcrs).differing.length > 0) findings.found('event_log_mismatch');
  else findings.read({ boot: quote.selection.map(({ bank, indexes }) => factsOf(log, 'tpm', { bank, registers: indexes })) });
}

function readLog(bytes: Uint8Array, findings: Findings): EventLog | undefined {
  try {
    return parseEventLog(bytes);
  } catch (error) {
    if (!(error instanceof UnusableLog)) throw error;
    findings.found('malformed', 'event_log_mismatch');
    return undefined;
  }
}

/** As `orUndefined`, and a finding. */
function orFound<T>(parse: () => T, findings: Findings): T | undefined {
  const parsed = orUndefined(() => ({ value: parse() }));
  if (parsed === undefined) findings.found('malformed');
  return parsed?.value;
}

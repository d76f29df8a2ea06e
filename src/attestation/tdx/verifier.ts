/** Verifies evidence of kind `tdx` (docs/formats/evidence-tdx.md). */
import { equalBytes } from '../../domain/bytes.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import {
  failedBytes,
  failedClaim,
  failedFindings,
  isRefusal,
  type Refusal,
  refuse,
  teeReportData,
  type VerifiedWorkload,
} from '../../domain/evidence.ts';
import { certificateEndorsements, endorsementOf } from '../endorsements.ts';
import type { LogFacts } from '../event-log/facts.ts';
import type { EvidenceVerifier, ReportCheck, VerificationContext, VerifiedReport } from '../port.ts';
import { rootsOf } from '../vendor-roots.ts';
import { findWorkload } from '../workload.ts';
import { orUndefined } from '../x509/der.ts';
import { IssuerMemo } from '../x509/path.ts';
import { overlap } from '../x509/validity.ts';
import { checkEventLog } from './event-log.ts';
import { parseTdxEvidence } from './evidence.ts';
import { type ExaminedQuote, examineQuoteAlone, examineUnderCollateral, type UnderCollateral } from './examine.ts';
import { tdxFacts } from './facts.ts';
import { identifyTdxCollateral } from './identify.ts';
import type { TdxWord } from './words.ts';

export function createTdxVerifier(): EvidenceVerifier<VerifiedWorkload<'tdx'>> {
  const memo = new IssuerMemo();
  return {
    kind: 'tdx',
    verify: (body, context) => verify(body, context, memo),
    identifyCollateral: (bytes, _name, roots) => identifyTdxCollateral(bytes, roots),
  };
}

/** For evidence that carries such a quote inside. */
export function createTdxReportCheck(): ReportCheck {
  const memo = new IssuerMemo();
  return (body, context) => checkReport(body, context, memo);
}

type CodeTable = Readonly<Partial<Record<TdxWord, ErrorCode>>>;

/** What a finding about the quote itself is to the one who asks. Debug is a fact: the appraisal refuses it, knowing whose it is. */
const OF_QUOTE: CodeTable = {
  malformed: 'evidence_malformed',
  trailing_bytes: 'evidence_malformed',
  chain_invalid: 'endorsement_untrusted',
  untrusted_root: 'endorsement_untrusted',
  pck_chain_expired: 'evidence_expired',
  pck_chain_not_yet_valid: 'evidence_expired',
  qe_sig_invalid: 'evidence_signature_invalid',
  qe_binding_invalid: 'evidence_signature_invalid',
  quote_sig_invalid: 'evidence_signature_invalid',
};

/** Past its date, collateral still says something: the last that was known, and a fact says that it is old. */
const STALE: readonly TdxWord[] = ['tcb_info_expired', 'qe_identity_expired', 'tcb_signing_expired', 'root_crl_expired', 'pck_crl_expired'];
/** Of the lists alone: what is not in an old list may be revoked today. */
const STALE_LISTS: readonly TdxWord[] = ['root_crl_expired', 'pck_crl_expired'];

/** Under collateral; a status is a fact. Every word that is in neither list says that what the vault keeps is not usable for this quote. */
const UNDER_COLLATERAL: CodeTable = {
  pck_revoked: 'endorsement_revoked',
  pck_ca_revoked: 'endorsement_revoked',
  tcb_signing_revoked: 'endorsement_revoked',
  qe_mrsigner_mismatch: 'endorsement_untrusted',
  qe_identity_mismatch: 'endorsement_untrusted',
  tdx_module_mismatch: 'endorsement_untrusted',
};
const FACTS: readonly TdxWord[] = [
  'tcb_status_unknown',
  'tcb_not_supported',
  'tcb_out_of_date',
  'tcb_configuration_needed',
  'tcb_sw_hardening_needed',
  'tcb_revoked',
];

type Body = Readonly<Record<string, unknown>>;

async function verify(body: Body, context: VerificationContext, memo: IssuerMemo): Promise<VerifiedWorkload<'tdx'> | Refusal> {
  const evidence = parseTdxEvidence(body);
  if (isRefusal(evidence)) return evidence;
  const quote = examineQuote(evidence.quote, context, memo);
  if (isRefusal(quote)) return quote;
  const { report } = partsOf(quote).quoted;
  const expected = teeReportData(context.binding);
  if (!equalBytes(report.reportData, expected)) {
    const failed = failedBytes('reportData', expected, report.reportData);
    return refuse('evidence_binding_mismatch', 'report data is not SHA-512 of the binding', { failed });
  }
  const log = evidence.eventLog && checkEventLog(evidence.eventLog, report);
  if (log?.problem === 'event_log_malformed') return refuse('evidence_malformed', 'the event log is none, or has no SHA-384');
  if (log?.problem !== undefined)
    return refuse('measurement_mismatch', 'the event log does not replay to the RTMRs of the quote', {
      failed: failedClaim('event log', 'replays to the RTMRs of the quote', log.problem),
    });
  const judged = await judge(quote, log?.facts, context);
  if (isRefusal(judged)) return judged;
  const attester = await findWorkload('tdx', judged.facts, context);
  return isRefusal(attester) ? attester : { kind: 'tdx', attester, facts: judged.facts, endorsements: judged.endorsements };
}

async function checkReport(body: Body, context: VerificationContext, memo: IssuerMemo): Promise<VerifiedReport | Refusal> {
  const evidence = parseTdxEvidence(body);
  if (isRefusal(evidence)) return evidence;
  const quote = examineQuote(evidence.quote, context, memo);
  return isRefusal(quote) ? quote : judge(quote, undefined, context);
}

/** Structure, signatures and chain, under the anchors in force. */
function examineQuote(evidence: Uint8Array, context: VerificationContext, memo: IssuerMemo): ExaminedQuote | Refusal {
  const roots = rootsOf('tdx', 'intel', context.anchors, memo);
  if (roots.length === 0) return refuse('endorsement_untrusted', 'this vault has no trust anchor for tdx');
  const quote = examineQuoteAlone({ evidence, companions: {}, parameters: {}, roots, now: context.now }, memo);
  const [code] = quote.findings.flatMap((word) => OF_QUOTE[word] ?? []);
  if (code !== undefined)
    return refuse(code, `the quote: ${quote.findings.join(', ')}`, { failed: failedFindings('quote', quote.findings) });
  return quote.claims['trailing_bytes'] === 0 ? quote : refuse('evidence_malformed', 'there are bytes behind the quote');
}

async function judge(quote: ExaminedQuote, log: LogFacts | undefined, context: VerificationContext): Promise<VerifiedReport | Refusal> {
  const { fmspc } = pckOf(quote);
  const kept = await context.collateral.find('tdx-collateral', fmspc);
  const missing = { failed: failedClaim('fmspc', 'collateral that is kept', fmspc) };
  if (kept === undefined) return refuse('collateral_missing', `no TCB information of FMSPC ${fmspc} is kept`, missing);
  const under = orUndefined(() => examineUnderCollateral(quote, kept.bytes, context.now));
  if (under === undefined) return refuse('collateral_missing', `what is kept of FMSPC ${fmspc} is no collateral`, missing);
  const refusal = refusalOf(under, fmspc);
  return refusal ?? reportOf(quote, { ...under, log, bundle: kept.bytes });
}

function refusalOf({ findings }: UnderCollateral, fmspc: string): Refusal | undefined {
  const [code] = findings.flatMap((word) => UNDER_COLLATERAL[word] ?? []);
  if (code !== undefined)
    return refuse(code, `the quote under its collateral: ${findings.join(', ')}`, {
      failed: failedFindings('quote under its collateral', findings),
    });
  const unusable = findings.filter((word) => !STALE.includes(word) && !FACTS.includes(word));
  return unusable.length === 0
    ? undefined
    : refuse('collateral_missing', `what is kept of FMSPC ${fmspc} is not usable: ${unusable.join(', ')}`, {
        failed: failedFindings('collateral', unusable),
      });
}

interface Judged extends UnderCollateral {
  readonly log: LogFacts | undefined;
  readonly bundle: Uint8Array;
}

function reportOf(quote: ExaminedQuote, { findings, verdict, collateral, periods, log, bundle }: Judged): VerifiedReport {
  const { info } = collateral;
  if (verdict === undefined || info === undefined) throw new Error('collateral without findings has a verdict');
  const { quoted, certified } = partsOf(quote);
  const facts = tdxFacts(quoted, {
    pck: pckOf(quote),
    verdict,
    tcbEvaluationDataNumber: info.tcbEvaluationDataNumber,
    revocation: findings.some((word) => STALE_LISTS.includes(word)) ? 'unknown' : 'good',
    collateralStale: findings.some((word) => STALE.includes(word)),
    log,
  });
  const endorsements = [
    ...certificateEndorsements(['PCK', 'PCK CA', 'SGX root CA'], certified.certificates),
    endorsementOf('TDX collateral', bundle, overlap(periods)),
  ];
  return { reportData: quoted.report.reportData, facts, endorsements };
}

function partsOf({ parts }: ExaminedQuote): NonNullable<ExaminedQuote['parts']> {
  if (parts === undefined) throw new Error('a quote without findings has parts');
  return parts;
}

function pckOf(quote: ExaminedQuote) {
  const { pck } = partsOf(quote).certified;
  if (pck === undefined) throw new Error('a quote without findings has a PCK certificate');
  return pck;
}

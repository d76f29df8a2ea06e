/** A TDX quote with Intel's collateral: authentic at a time, and what it says (docs/formats/evidence-tdx.md). */
import { type ClaimValue, conclude, type Examination, type ExaminationInputs } from '../examination.ts';
import { Malformed, orUndefined } from '../x509/der.ts';
import { IssuerMemo } from '../x509/path.ts';
import { isoSeconds, overlap, type Validity } from '../x509/validity.ts';
import { type Certified, certify } from './certified.ts';
import { judgedClaims, reportClaims } from './claims.ts';
import { type Collateral, type CollateralTrust, dateFindings, verifyCollateral } from './collateral.ts';
import { checkEventLog } from './event-log.ts';
import { type QeReport, type QuotedReport, readQeReport, readQuotedReport, readQuoteSignature, readTrailing } from './quote.ts';
import { checkQuoteSignatures } from './signatures.ts';
import { judgeTcb, sameUnder, type TcbVerdict } from './tcb.ts';
import { TDX_UNACCEPTABLE, type TdxWord } from './words.ts';

/**
 * Companion `collateral`: the bundle as JSON (docs/formats/evidence-tdx.md); without it the status is unknown. Every finding is made, not
 * only the first. A `memo` that lives longer than one call saves the signatures of issuers and collateral, nothing else.
 */
export function examineTdxQuote(inputs: ExaminationInputs, memo = new IssuerMemo()): Examination<TdxWord> {
  const examined = examineQuoteAlone(inputs, memo);
  const sent = inputs.companions['collateral'];
  const found = sent === undefined ? undefined : orUndefined(() => examineUnderCollateral(examined, sent, inputs.now));
  const broken = sent !== undefined && found === undefined;
  const findings = [
    ...examined.findings,
    ...(found?.findings ?? [...(broken ? (['malformed'] as const) : []), 'tcb_status_unknown' as const]),
  ];
  const period = overlap([...examined.periods, ...(found?.periods ?? [])]);
  if (examined.parts === undefined) return conclude(examined.findings, TDX_UNACCEPTABLE, examined.claims);
  return conclude(findings, TDX_UNACCEPTABLE, {
    ...examined.claims,
    ...judgedClaims(found?.verdict, found?.collateral),
    ...(period && { valid_from: isoSeconds(period.from), valid_until: isoSeconds(period.until) }),
  });
}

/** What a quote says by itself, whoever judges its TCB. */
export interface ExaminedQuote {
  readonly findings: readonly TdxWord[];
  readonly claims: Readonly<Record<string, ClaimValue>>;
  readonly periods: readonly Validity[];
  /** Undefined of what could not be read to its end. */
  readonly parts: QuoteParts | undefined;
}

interface QuoteParts {
  readonly quoted: QuotedReport;
  readonly qe: QeReport;
  readonly certified: Certified;
  readonly trust: CollateralTrust;
}

/** Structure, PCK chain, the three signatures, and debug. What cannot be read to its end is signed by nobody, and gets that word too. */
export function examineQuoteAlone({ evidence, companions, roots, now }: ExaminationInputs, memo: IssuerMemo): ExaminedQuote {
  const quoted = orUndefined(() => readQuotedReport(evidence));
  if (quoted === undefined) return { findings: ['malformed', 'quote_sig_invalid'], claims: {}, periods: [], parts: undefined };
  const signature = orUndefined(() => readQuoteSignature(evidence, quoted));
  const trailing = signature?.trailing ?? orUndefined(() => readTrailing(evidence, quoted));
  const structure: readonly TdxWord[] = [
    ...(quoted.isKnown && signature !== undefined ? [] : (['malformed'] as const)),
    ...(trailing === undefined || trailing.isZero ? [] : (['trailing_bytes'] as const)),
  ];
  if (signature === undefined) {
    const findings = [...structure, 'quote_sig_invalid', ...debugFindings(quoted)] as const;
    return { findings, claims: reportClaims(quoted), periods: [], parts: undefined };
  }
  const pinned = roots.filter(({ vendor }) => vendor === 'intel').flatMap(({ certificate }) => memo.certificates(certificate));
  const certified = certify(signature.pckChain, { roots: pinned, memo, now });
  const qe = readQeReport(signature.qeReport);
  const log = companions['event_log'] && checkEventLog(companions['event_log'], quoted.report);
  return {
    findings: [
      ...structure,
      ...certified.findings,
      ...checkQuoteSignatures(quoted, signature, qe, certified.pck),
      ...debugFindings(quoted),
      ...(log?.problem === undefined ? [] : [log.problem]),
    ],
    claims: { ...reportClaims(quoted), ...certified.claims, trailing_bytes: signature.trailing.length },
    periods: certified.periods,
    parts: { quoted, qe, certified, trust: { roots: pinned, pckAuthority: certified.authority, memo } },
  };
}

export interface UnderCollateral {
  readonly findings: readonly TdxWord[];
  readonly periods: readonly Validity[];
  readonly collateral: Collateral;
  readonly verdict: TcbVerdict | undefined;
}

/** Throws Malformed for collateral that is no bundle, or a quote that could not be read. */
export function examineUnderCollateral({ parts }: ExaminedQuote, bundle: Uint8Array, now: Date): UnderCollateral {
  if (parts === undefined) throw new Malformed('no quote');
  const { quoted, qe, certified, trust } = parts;
  const collateral = verifyCollateral(bundle, trust);
  const verdict = judge(quoted, qe, certified, collateral);
  return {
    findings: [...checkCollateral(collateral, certified, qe, now), ...statusFindings(verdict)],
    periods: collateral.periods.map(([period]) => period),
    collateral,
    verdict,
  };
}

function judge({ report }: QuotedReport, qe: QeReport, { pck }: Certified, { info, identity }: Collateral): TcbVerdict | undefined {
  return info === undefined || identity === undefined || pck === undefined ? undefined : judgeTcb({ info, identity, pck, report, qe });
}

function checkCollateral(collateral: Collateral, { pck, authority }: Certified, qe: QeReport, now: Date): readonly TdxWord[] {
  const { info, identity, rootCrl, pckCrl } = collateral;
  return [
    ...collateral.findings,
    ...dateFindings(collateral, now),
    ...(info === undefined || pck === undefined || info.fmspc === pck.fmspc ? [] : (['fmspc_mismatch'] as const)),
    ...(info === undefined || pck === undefined || info.pceId === pck.pceId ? [] : (['pce_id_mismatch'] as const)),
    ...(pck !== undefined && pckCrl?.revoked.has(pck.certificate.serial) === true ? (['pck_revoked'] as const) : []),
    ...(authority !== undefined && rootCrl?.revoked.has(authority.serial) === true ? (['pck_ca_revoked'] as const) : []),
    ...(identity === undefined ? [] : checkEnclave(identity, qe)),
  ];
}

/** Is it the quoting enclave that Intel names? Its level is judged apart. */
function checkEnclave(identity: NonNullable<Collateral['identity']>, qe: QeReport): readonly TdxWord[] {
  const { mrsigner, isvprodid, attributes, attributesMask, miscselect, miscselectMask } = identity;
  const same =
    qe.isvProdId === isvprodid &&
    sameUnder(attributesMask, attributes, qe.attributes) &&
    sameUnder(miscselectMask, miscselect, qe.miscSelect);
  return [
    ...(Buffer.from(qe.mrSigner).toString('hex') === mrsigner ? [] : (['qe_mrsigner_mismatch'] as const)),
    ...(same ? [] : (['qe_identity_mismatch'] as const)),
  ];
}

/** TD under debug: bit 0, and the whole low byte must be zero (TDX module ABI, ATTRIBUTES). */
function debugFindings({ report }: QuotedReport): readonly TdxWord[] {
  return report.tdAttributes[0] === 0 ? [] : ['debug_enabled'];
}

const STATUS_WORDS: Readonly<Record<TcbVerdict['status'], readonly TdxWord[]>> = {
  UpToDate: [],
  SWHardeningNeeded: ['tcb_sw_hardening_needed'],
  ConfigurationNeeded: ['tcb_configuration_needed'],
  ConfigurationAndSWHardeningNeeded: ['tcb_configuration_needed', 'tcb_sw_hardening_needed'],
  OutOfDate: ['tcb_out_of_date'],
  OutOfDateConfigurationNeeded: ['tcb_out_of_date', 'tcb_configuration_needed'],
  Revoked: ['tcb_revoked'],
  NoMatchingLevel: ['tcb_not_supported'],
  Unknown: ['tcb_status_unknown'],
};

function statusFindings(verdict: TcbVerdict | undefined): readonly TdxWord[] {
  if (verdict === undefined) return ['tcb_status_unknown'];
  return [...(verdict.moduleMismatch ? (['tdx_module_mismatch'] as const) : []), ...STATUS_WORDS[verdict.status]];
}

/** A TDX quote with Intel's collateral: authentic at a time, and what it says (docs/formats/evidence-tdx.md). */
import { conclude, type Examination, type ExaminationInputs } from '../examination.ts';
import { orUndefined } from '../x509/der.ts';
import { IssuerMemo } from '../x509/path.ts';
import { isoSeconds, overlap } from '../x509/validity.ts';
import { type Certified, certify } from './certified.ts';
import { judgedClaims, reportClaims } from './claims.ts';
import { type Collateral, dateFindings, verifyCollateral } from './collateral.ts';
import { type QeReport, type QuotedReport, readQeReport, readQuotedReport, readQuoteSignature } from './quote.ts';
import { checkQuoteSignatures } from './signatures.ts';
import { judgeTcb, sameUnder, type TcbVerdict } from './tcb.ts';
import { TDX_UNACCEPTABLE, type TdxWord } from './words.ts';

/**
 * Companion `collateral`: the bundle as JSON (docs/formats/evidence-tdx.md); without it the status is unknown. Every finding is made, not
 * only the first. A `memo` that lives longer than one call saves the signatures of issuers and collateral, nothing else.
 */
export function examineTdxQuote({ evidence, companions, roots, now }: ExaminationInputs, memo = new IssuerMemo()): Examination<TdxWord> {
  const quoted = orUndefined(() => readQuotedReport(evidence));
  if (quoted === undefined) return conclude<TdxWord>(['malformed'], TDX_UNACCEPTABLE, {});
  const signature = orUndefined(() => readQuoteSignature(evidence, quoted));
  if (signature === undefined) return conclude<TdxWord>(['malformed', ...debugFindings(quoted)], TDX_UNACCEPTABLE, reportClaims(quoted));

  const pinned = roots.filter(({ vendor }) => vendor === 'intel').flatMap(({ certificate }) => memo.certificates(certificate));
  const certified = certify(signature.pckChain, { roots: pinned, memo, now });
  const qe = readQeReport(signature.qeReport);
  const sent = companions['collateral'];
  const trust = { roots: pinned, pckAuthority: certified.authority, memo };
  const collateral = sent === undefined ? undefined : orUndefined(() => verifyCollateral(sent, trust));
  const verdict = judge(quoted, qe, certified, collateral);
  const findings: readonly TdxWord[] = [
    ...(signature.trailing.isZero ? [] : (['trailing_bytes'] as const)),
    ...certified.findings,
    ...checkQuoteSignatures(quoted, signature, qe, certified.pck),
    ...(sent !== undefined && collateral === undefined ? (['malformed'] as const) : []),
    ...(collateral === undefined ? [] : checkCollateral(collateral, certified, qe, now)),
    ...debugFindings(quoted),
    ...statusFindings(verdict),
  ];
  const period = overlap([...certified.periods, ...(collateral?.periods ?? []).map(([one]) => one)]);
  return conclude(findings, TDX_UNACCEPTABLE, {
    ...reportClaims(quoted),
    ...certified.claims,
    ...judgedClaims(verdict, collateral),
    trailing_bytes: signature.trailing.length,
    ...(period && { valid_from: isoSeconds(period.from), valid_until: isoSeconds(period.until) }),
  });
}

function judge({ report }: QuotedReport, qe: QeReport, { pck }: Certified, collateral: Collateral | undefined): TcbVerdict | undefined {
  const { info, identity } = collateral ?? {};
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

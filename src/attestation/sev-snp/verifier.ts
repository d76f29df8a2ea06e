/** Verifies evidence of kind `sev-snp` (docs/formats/evidence-sev-snp.md). */
import { equalBytes, toHex } from '../../domain/bytes.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import {
  type Endorsement,
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
import type { ExaminationInputs } from '../examination.ts';
import type { CollateralReader, EvidenceVerifier, ReportCheck, VerificationContext, VerifiedReport } from '../port.ts';
import { rootsOf } from '../vendor-roots.ts';
import { findWorkload } from '../workload.ts';
import { readCertificate } from '../x509/certificate.ts';
import { readCrl } from '../x509/crl.ts';
import { orUndefined } from '../x509/der.ts';
import { partOf } from '../x509/names.ts';
import { IssuerMemo } from '../x509/path.ts';
import { parseSnpEvidence, type SnpEvidence } from './evidence.ts';
import { type ExaminedReport, examineParts } from './examine.ts';
import { snpFacts } from './facts.ts';
import { identifySnpCollateral } from './identify.ts';
import { PRODUCTS, type Product, productOfCpuid } from './product.ts';
import { readReport, type SnpReport } from './report.ts';
import type { SnpWord } from './words.ts';

export function createSnpVerifier(): EvidenceVerifier<VerifiedWorkload<'sev-snp'>> {
  const memo = new IssuerMemo();
  return {
    kind: 'sev-snp',
    verify: (body, context) => verify(body, context, memo),
    identifyCollateral: (bytes, _name, roots) => identifySnpCollateral(bytes, roots),
  };
}

/** For evidence that carries such a report inside. */
export function createSnpReportCheck(): ReportCheck {
  const memo = new IssuerMemo();
  return (body, context) => checkReport(body, context, memo);
}

/** What a finding is to the one who asks. Undefined: no refusal, but a fact. */
const CODES: Readonly<Record<SnpWord, ErrorCode | undefined>> = {
  malformed: 'evidence_malformed',
  signature_algorithm: 'evidence_malformed',
  signature_not_canonical: 'evidence_malformed',
  chain_not_to_trusted_root: 'endorsement_untrusted',
  product_mismatch: 'endorsement_untrusted',
  certificate_expired: 'evidence_expired',
  certificate_not_yet_valid: 'evidence_expired',
  issuer_revoked: 'endorsement_revoked',
  report_signature_invalid: 'evidence_signature_invalid',
  signing_key_kind_mismatch: 'evidence_signature_invalid',
  tcb_mismatch: 'evidence_signature_invalid',
  chip_id_mismatch: 'evidence_signature_invalid',
  debug_enabled: undefined, // the appraisal refuses it, knowing whose it is
  crl_invalid: undefined,
  crl_expired: undefined,
  crl_not_yet_valid: undefined,
};

async function verify(
  body: Readonly<Record<string, unknown>>,
  context: VerificationContext,
  memo: IssuerMemo,
): Promise<VerifiedWorkload<'sev-snp'> | Refusal> {
  const report = await checkReport(body, context, memo);
  if (isRefusal(report)) return report;
  const { reportData, facts, endorsements } = report;
  const expected = teeReportData(context.binding);
  if (!equalBytes(reportData, expected)) {
    const failed = failedBytes('reportData', expected, reportData);
    return refuse('evidence_binding_mismatch', 'report data is not SHA-512 of the binding', { failed });
  }
  const attester = await findWorkload('sev-snp', facts, context);
  return isRefusal(attester) ? attester : { kind: 'sev-snp', attester, facts, endorsements };
}

async function checkReport(
  body: Readonly<Record<string, unknown>>,
  context: VerificationContext,
  memo: IssuerMemo,
): Promise<VerifiedReport | Refusal> {
  const evidence = parseSnpEvidence(body);
  if (isRefusal(evidence)) return evidence;
  const report = readReport(evidence.report);
  const companions = await findCompanions(evidence, report, context.collateral);
  if (isRefusal(companions)) return companions;
  const roots = rootsOf('sev-snp', 'amd', context.anchors, memo);
  if (roots.length === 0) return refuse('endorsement_untrusted', 'this vault has no trust anchor for sev-snp');
  const examined = examineParts(report, { evidence: evidence.report, companions, parameters: {}, roots, now: context.now }, memo);
  return refusalOf(examined) ?? reportOf(report, examined, companions['crl']);
}

type Companions = ExaminationInputs['companions'];

/** What came with the report, else what the vault keeps. Lists come from the vault alone: whoever brings one chooses how old it is. */
async function findCompanions(evidence: SnpEvidence, report: SnpReport, collateral: CollateralReader): Promise<Companions | Refusal> {
  const stated = report.cpuid && productOfCpuid(report.cpuid);
  const keys = (stated === undefined ? PRODUCTS : [stated]).map((product) => keyName(product, report)); // version 2 does not say which
  const certificate = evidence.certificate ?? (await firstOf(collateral, 'amd-vcek', keys));
  if (certificate === undefined) {
    const failed = failedClaim('certificate of the chip', 'with the evidence, or kept', keys.join(', '));
    return refuse('collateral_missing', `no certificate of the key of chip ${toHex(report.chipId)} at TCB ${toHex(report.reportedTcb)}`, {
      failed,
    });
  }
  const product = stated ?? productOfIssuer(certificate);
  const chain = evidence.intermediate ?? (await firstOf(collateral, 'amd-chain', [`${product}/${report.signingKey}`]));
  if (chain === undefined) {
    const failed = failedClaim('certificate of the intermediate', 'with the evidence, or kept', `${product}/${report.signingKey}`);
    return refuse('collateral_missing', 'no certificate of the intermediate between that key and its root', { failed });
  }
  const crl = await firstOf(collateral, 'amd-crl', [`${product}`]);
  return { endorsement_key_certificate: certificate, issuer_chain: chain, ...(crl !== undefined && { crl }) };
}

/** Whom to look for, not whom to believe. */
function productOfIssuer(certificate: Uint8Array): Product | undefined {
  const name = orUndefined(() => partOf(readCertificate(certificate).issuer, 'CN'));
  return PRODUCTS.find((product) => name?.endsWith(`-${product}`));
}

function keyName(product: Product, { chipId, reportedTcb }: SnpReport): string {
  return `${product}/${toHex(chipId)}/${toHex(reportedTcb)}`;
}

async function firstOf(
  collateral: CollateralReader,
  type: 'amd-vcek' | 'amd-chain' | 'amd-crl',
  keys: readonly string[],
): Promise<Uint8Array | undefined> {
  for (const key of keys) {
    const found = await collateral.find(type, key);
    if (found !== undefined) return found.bytes;
  }
  return undefined;
}

function refusalOf({ findings }: ExaminedReport): Refusal | undefined {
  const [code] = findings.flatMap((word) => CODES[word] ?? []);
  return code === undefined
    ? undefined
    : refuse(code, `the report: ${findings.join(', ')}`, { failed: failedFindings('report', findings) });
}

function reportOf(report: SnpReport, { findings, product, endorsement }: ExaminedReport, list: Uint8Array | undefined): VerifiedReport {
  const { key, certificates } = endorsement;
  if (key === undefined || product === undefined) throw new Error('a report without findings has a key and a product');
  const crl = list && orUndefined(() => readCrl(list));
  const usable = crl !== undefined && !findings.some((word) => word === 'crl_invalid' || word === 'crl_not_yet_valid');
  const stale = usable && findings.includes('crl_expired');
  const facts = snpFacts(report, { product, key, revocation: usable && !stale ? 'good' : 'unknown', collateralStale: stale });
  const names = key.kind === 'VCEK' ? ['VCEK', 'ASK', 'ARK'] : ['VLEK', 'ASVK', 'ARK'];
  const endorsements: readonly Endorsement[] = [
    ...certificateEndorsements(names, certificates),
    ...(usable && list !== undefined ? [endorsementOf('ARK CRL', list, crl)] : []),
  ];
  return { reportData: report.reportData, facts, endorsements };
}

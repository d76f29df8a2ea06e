/** Why an attestation key would be trusted: a certificate that leads to a pinned root, or a TEE report that is bound to it (Azure). */
import type { KeyObject } from 'node:crypto';
import type { ClaimValue, Examination, ExaminationInputs } from '../examination.ts';
import { isoSeconds } from '../x509/validity.ts';
import { examineAkCertificate } from './ak-certificate.ts';
import type { Findings } from './findings.ts';
import { carriesSameReportData, type HclReport, parseHclReport } from './hcl-report.ts';
import { Malformed } from './reader.ts';

/** The kinds whose reports stand inside an HCL report, or beside it. */
export interface ReportExaminations {
  readonly snp: (inputs: ExaminationInputs) => Examination | Promise<Examination>;
  readonly tdx: (inputs: ExaminationInputs) => Examination | Promise<Examination>;
}

/** A TDX quote by itself is genuine and says nothing of its TCB: that takes the vendor's collateral. A certified key does not rest on it. */
const WITHOUT_COLLATERAL = 'tcb_status_unknown';

/** `key`: as it was sent bare, if it was. Resolves with the certified key, which must have signed as well. */
export async function examineTrust(
  inputs: ExaminationInputs,
  key: KeyObject | undefined,
  reports: ReportExaminations,
  findings: Findings,
): Promise<readonly KeyObject[]> {
  const certificate = certify(inputs, findings);
  const hcl = readHcl(inputs.companions['hcl_report'], findings);
  const bound = hcl !== undefined && (await isBound(hcl, { key, ...certificate }, inputs, reports, findings));
  if (hcl !== undefined && !bound) findings.found('ak_not_bound', 'ak_not_certified');
  if (!certificate.trusted && !bound) findings.found('ak_not_certified');
  return certificate.key === undefined ? [] : [certificate.key];
}

function certify({ companions, roots, now }: ExaminationInputs, findings: Findings): { key?: KeyObject; trusted: boolean } {
  const certificate = companions['ak_certificate'];
  findings.read({ ak_root: null, valid_from: null, valid_until: null });
  if (certificate === undefined) return { trusted: false };
  const { problems, found } = examineAkCertificate({ certificate, chain: companions['ak_chain'], lists: companions['ak_crl'], roots, now });
  findings.found(...problems);
  findings.read({
    ak_root: found.root ?? null,
    ak_revocation: found.revocation ?? null,
    valid_from: found.validFrom === undefined ? null : isoSeconds(found.validFrom),
    valid_until: found.validUntil === undefined ? null : isoSeconds(found.validUntil),
  });
  return { ...(found.key && { key: found.key }), trusted: problems.length === 0 };
}

function readHcl(bytes: Uint8Array | undefined, findings: Findings): HclReport | undefined {
  if (bytes === undefined) return undefined;
  try {
    return parseHclReport(bytes);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    findings.found('malformed', 'ak_not_bound');
    return undefined;
  }
}

/** The hardware report is genuine, binds the text, and the text names the key that signs. */
async function isBound(
  hcl: HclReport,
  { key, trusted }: { readonly key: KeyObject | undefined; readonly trusted: boolean },
  inputs: ExaminationInputs,
  reports: ReportExaminations,
  findings: Findings,
): Promise<boolean> {
  const matches = key !== undefined && hcl.attestationKey?.equals(key) === true;
  const report = await examineReport(hcl, inputs, reports);
  const bound = matches && report?.valid === true && hcl.bindsRuntimeData && carriesSameReportData(hcl, report.claims['report_data']);
  findings.read({
    tee: hcl.tee,
    tee_measurement: report?.claims['measurement'] ?? null,
    tee_debug: report?.claims['debug'] ?? null,
    tee_product: report?.claims['product'] ?? null,
    tee_reasons: report?.reasons ?? [],
    ak_matches_hcl: matches,
    ak_bound_to_tee_report: bound,
    runtime_data_sha256: hcl.runtimeDataSha256,
    hcl_keys: hcl.keyNames,
    vm_configuration: (hcl.runtimeData['vm-configuration'] ?? null) as ClaimValue, // JSON holds nothing else
  });
  if (report?.claims['debug'] === true) findings.found('debug_enabled');
  const doubts = report?.valid === true ? report.reasons.filter((reason) => !(trusted && reason === WITHOUT_COLLATERAL)) : [];
  // Whom only a doubtful report vouches for, nobody vouches for.
  if (doubts.length > 0) findings.found('tee_not_acceptable', ...(trusted ? [] : (['ak_not_certified'] as const)));
  return bound;
}

async function examineReport(hcl: HclReport, inputs: ExaminationInputs, reports: ReportExaminations): Promise<Examination | undefined> {
  const { vcek, issuer_chain: chain, td_quote: quote, collateral } = inputs.companions;
  const asked = { roots: inputs.roots, now: inputs.now, parameters: {} };
  if (hcl.tee === 'snp') {
    const companions = { ...(vcek && { endorsement_key_certificate: vcek }), ...(chain && { issuer_chain: chain }) };
    return await reports.snp({ ...asked, evidence: hcl.report, companions });
  }
  return quote && (await reports.tdx({ ...asked, evidence: quote, companions: collateral ? { collateral } : {} }));
}

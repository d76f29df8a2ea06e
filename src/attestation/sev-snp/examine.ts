/** A SEV-SNP report with its chip's certificate: authentic at a time, and what it says (docs/formats/evidence-sev-snp.md). */
import { equalBytes, toHex } from '../../domain/bytes.ts';
import { type ClaimValue, conclude, type Examination, type ExaminationInputs } from '../examination.ts';
import { orUndefined } from '../x509/der.ts';
import { IssuerMemo } from '../x509/path.ts';
import { ecdsaVerifies } from '../x509/signature.ts';
import { isoSeconds, overlap } from '../x509/validity.ts';
import { type Endorsement, endorse, lifeOf } from './endorsement.ts';
import type { EndorsementKey } from './endorsement-key.ts';
import { type Product, productOfCpuid, productOfName, readTcb, sameTcb, tcbClaims } from './product.ts';
import { ECDSA_P384_SHA384, POLICY, policyHas, readReport, reportFaults, type SnpReport } from './report.ts';
import { SNP_UNACCEPTABLE, type SnpWord } from './words.ts';

/**
 * Companions: `endorsement_key_certificate` (DER or PEM), `issuer_chain` (PEM), `crl` (of the ARK, optional). Every finding is made, not
 * only the first. A `memo` that lives longer than one call saves the issuers' signatures, nothing else.
 */
export function examineSnpReport(inputs: ExaminationInputs, memo = new IssuerMemo()): Examination<SnpWord> {
  const report = orUndefined(() => readReport(inputs.evidence));
  if (report === undefined) return conclude<SnpWord>(['malformed'], SNP_UNACCEPTABLE, {});
  const { findings, product, endorsement } = examineParts(report, inputs, memo);
  return conclude(findings, SNP_UNACCEPTABLE, { ...reportClaims(report, product), ...endorsementClaims(endorsement) });
}

export interface ExaminedReport {
  readonly findings: readonly SnpWord[];
  readonly product: Product | undefined;
  readonly endorsement: Endorsement;
}

export function examineParts(report: SnpReport, inputs: ExaminationInputs, memo: IssuerMemo): ExaminedReport {
  const endorsement = endorse(inputs, memo);
  const product = productOf(report, endorsement);
  const findings: readonly SnpWord[] = [
    ...(reportFaults(inputs.evidence, report).length > 0 ? (['malformed'] as const) : []),
    ...endorsement.findings,
    ...checkSignature(report, endorsement.key),
    ...(endorsement.key === undefined ? [] : checkAgainstKey(report, endorsement.key, product)),
    ...checkProduct(report, endorsement, product),
    ...(policyHas(report, POLICY.debug) ? (['debug_enabled'] as const) : []),
  ];
  return { findings, product, endorsement };
}

/** Version 3 and later say it themselves; of version 2 the certificate of its key tells, and without one the chain. */
function productOf({ cpuid }: SnpReport, { key, product }: Endorsement): Product | undefined {
  return (cpuid && productOfCpuid(cpuid)) ?? (key && productOfName(key.productName)) ?? product;
}

function checkSignature(report: SnpReport, key: EndorsementKey | undefined): readonly SnpWord[] {
  const signed = key !== undefined && ecdsaVerifies('sha384', report.signed, report.signature, key.certificate.publicKey);
  return [
    ...(report.signatureAlgorithm === ECDSA_P384_SHA384 ? [] : (['signature_algorithm'] as const)),
    ...(report.signatureFits && report.signatureRestIsZero ? [] : (['signature_not_canonical'] as const)),
    ...(signed && report.signatureFits ? [] : (['report_signature_invalid'] as const)),
  ];
}

function checkAgainstKey(report: SnpReport, key: EndorsementKey, product: Product | undefined): readonly SnpWord[] {
  return [
    ...(report.signingKey === key.kind ? [] : (['signing_key_kind_mismatch'] as const)),
    ...(sameTcb(readTcb(report.reportedTcb, product), key.tcb) ? [] : (['tcb_mismatch'] as const)),
    ...(isOfChip(key, report.chipId) ? [] : (['chip_id_mismatch'] as const)),
  ];
}

/** A VLEK is of no chip. Turin's id is 8 bytes, with zeros behind it in the report. */
function isOfChip({ kind, hwId }: EndorsementKey, chipId: Uint8Array): boolean {
  if (kind === 'VLEK') return hwId === undefined;
  return (hwId?.length === 64 || hwId?.length === 8) && equalBytes(hwId, chipId.subarray(0, hwId.length));
}

/** Report, certificate and chain are of one product line, one that is known. Without both of the latter nothing is said of theirs. */
function checkProduct({ cpuid }: SnpReport, { key, product: ofChain }: Endorsement, product: Product | undefined): readonly SnpWord[] {
  const unknownChip = cpuid !== undefined && productOfCpuid(cpuid) === undefined;
  if (key === undefined && ofChain === undefined && !unknownChip) return [];
  const ofKey = key === undefined ? product : productOfName(key.productName);
  return !unknownChip && product !== undefined && product === ofChain && product === ofKey ? [] : ['product_mismatch'];
}

function reportClaims(report: SnpReport, product: Product | undefined): Readonly<Record<string, ClaimValue>> {
  const { cpuid } = report;
  const byte = (value: number) => `0x${value.toString(16).padStart(2, '0')}`;
  return {
    product: product ?? null,
    signing_key: report.signingKey,
    report_version: report.version,
    measurement: toHex(report.measurement),
    report_data: toHex(report.reportData),
    host_data: toHex(report.hostData),
    chip_id: toHex(report.chipId),
    id_key_digest: toHex(report.idKeyDigest),
    author_key_digest: toHex(report.authorKeyDigest),
    author_key_enabled: report.authorKeyEnabled,
    family_id: toHex(report.familyId),
    image_id: toHex(report.imageId),
    report_id: toHex(report.reportId),
    report_id_ma: toHex(report.reportIdMa),
    policy: `0x${report.policy.toString(16)}`,
    vmpl: report.vmpl,
    guest_svn: report.guestSvn,
    debug: policyHas(report, POLICY.debug),
    smt_allowed: policyHas(report, POLICY.smt),
    migration_agent_allowed: policyHas(report, POLICY.migrationAgent),
    single_socket: policyHas(report, POLICY.singleSocket),
    platform_info: `0x${report.platformInfo.toString(16)}`,
    chip_key_masked: report.chipKeyMasked,
    reported_tcb: { raw: toHex(report.reportedTcb), ...tcbClaims(readTcb(report.reportedTcb, product)) },
    current_tcb: toHex(report.currentTcb),
    committed_tcb: toHex(report.committedTcb),
    launch_tcb: toHex(report.launchTcb),
    current_version: report.currentVersion,
    committed_version: report.committedVersion,
    cpuid: cpuid === undefined ? null : `family ${byte(cpuid.family)} model ${byte(cpuid.model)} stepping ${byte(cpuid.stepping)}`,
  };
}

function endorsementClaims({ key, certificates }: Endorsement): Readonly<Record<string, ClaimValue>> {
  const period = overlap(certificates.map(lifeOf));
  return {
    ...(period && { valid_from: isoSeconds(period.from), valid_until: isoSeconds(period.until) }),
    certificate_tcb: key === undefined ? null : tcbClaims(key.tcb),
    certificate_product: key?.productName ?? null,
    csp_id: key?.cspId ?? null,
  };
}

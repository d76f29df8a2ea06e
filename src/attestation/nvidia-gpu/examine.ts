/** Is this report of an NVIDIA GPU or NVSwitch authentic? Format: docs/formats/evidence-nvidia-gpu.md. */
import { createHash } from 'node:crypto';
import { equalBytes, toHex } from '../../domain/bytes.ts';
import { type ClaimValue, conclude, type Examination, type ExaminationInputs } from '../examination.ts';
import { type Certificate, readCertificate } from '../x509/certificate.ts';
import { followChain, outsideValidity } from '../x509/chain.ts';
import { Malformed, orMalformed, orUndefined } from '../x509/der.ts';
import { partOf } from '../x509/names.ts';
import { IssuerMemo } from '../x509/path.ts';
import { derOrPemParts } from '../x509/pem.ts';
import { curveOf, ecdsaVerifies } from '../x509/signature.ts';
import { isoSeconds } from '../x509/validity.ts';
import { architectureOf } from './architecture.ts';
import { fwidOf } from './fwid.ts';
import { factsOf, type ReportFacts } from './opaque.ts';
import { type NvidiaReport, readReport, SIGNATURE_BYTES } from './report.ts';

export type NvidiaWord =
  | 'malformed'
  | 'trailing_bytes'
  | 'nonce_mismatch'
  | 'chain_incomplete'
  | 'untrusted_root'
  | 'certificate_expired'
  | 'certificate_not_yet_valid'
  | 'leaf_without_fwid'
  | 'fwid_mismatch'
  | 'report_signature_invalid';

/** The one of the two pinned NVIDIA roots that endorses devices. */
export const DEVICE_ROOT = 'nvidia-device-identity-ca';
/** Five certificates are below 5 KiB of PEM. */
export const MAX_CHAIN_BYTES = 32_768;
const MAX_CHAIN = 8;

interface Findings {
  readonly found: Set<NvidiaWord>;
  readonly claims: Record<string, ClaimValue>;
}

export interface ExaminedReport extends Findings {
  /** Absent when it cannot be read; believed only without findings. */
  readonly report: NvidiaReport | undefined;
  readonly facts: ReportFacts | undefined;
  readonly architecture: string | undefined;
  /** From the certificate that signed up to the root, as they came. */
  readonly chain: readonly Certificate[];
}

export function examineNvidiaReport(inputs: ExaminationInputs, memo = new IssuerMemo()): Examination<NvidiaWord> {
  const { found, claims, report } = examineParts(inputs, memo);
  if (report !== undefined && !nonceFits(report, inputs.parameters['expected_nonce'])) found.add('nonce_mismatch');
  return conclude(found, [], claims);
}

/** Goes on after a finding as far as something can still be said. What cannot be read is signed by nobody, and gets that word too. */
export function examineParts(inputs: ExaminationInputs, memo: IssuerMemo): ExaminedReport {
  const findings: Findings = { found: new Set(), claims: {} };
  const { found } = findings;
  const report = orMalformed(() => readReport(inputs.evidence), found);
  if (report === undefined) found.add('report_signature_invalid');
  const chain = readChain(inputs.companions['chain'], memo, found);
  const facts = report && factsOf(report.opaque);
  const architecture = facts && architectureOf(chain ?? [], facts);
  if (report !== undefined && facts !== undefined) {
    describe(report, facts, architecture, findings);
    if (report.faults.length > 0) found.add('malformed');
    if (report.trailingBytes > 0 && !report.isOnlyPadded) found.add('trailing_bytes');
    if (chain !== undefined) examineLeaf(report, facts, chain[0], found);
  }
  if (chain !== undefined) examineChain(chain, inputs, memo, findings);
  return { ...findings, report, facts, architecture, chain: chain ?? [] };
}

/** PEM, from the certificate that signed up to the root; as far as it can be read. */
function readChain(
  file: Uint8Array | undefined,
  memo: IssuerMemo,
  found: Set<NvidiaWord>,
): readonly [Certificate, ...Certificate[]] | undefined {
  const [leaf, ...issuers] = (file && orMalformed(() => readCertificates(file, memo), found)) ?? [];
  const broken = issuers.indexOf(undefined);
  if (file !== undefined && (leaf === undefined || broken >= 0)) found.add('malformed');
  if (leaf === undefined || broken >= 0) found.add('chain_incomplete').add('untrusted_root');
  if (leaf === undefined) return undefined;
  return [leaf, ...issuers.slice(0, broken >= 0 ? broken : undefined).filter((issuer) => issuer !== undefined)];
}

/** Undefined in the place of each that is no certificate. */
function readCertificates(file: Uint8Array, memo: IssuerMemo): ReadonlyArray<Certificate | undefined> {
  if (file.length > MAX_CHAIN_BYTES) throw new Malformed(`a chain longer than ${MAX_CHAIN_BYTES} bytes`);
  const blocks = derOrPemParts(file, 'CERTIFICATE', MAX_CHAIN);
  return blocks.map((der, at) => der && orUndefined(() => (at === 0 ? readCertificate(der) : memo.certificates(der)[0])));
}

function describe(report: NvidiaReport, facts: ReportFacts, arch: string | undefined, { claims }: Findings): void {
  const measurements = [...report.measurements].toSorted(([a], [b]) => a - b);
  const overall = createHash('sha384');
  for (const [, value] of measurements) overall.update(value);
  Object.assign(claims, {
    product: `NVIDIA ${arch ?? 'unknown'}`,
    arch: arch ?? null,
    nonce: toHex(report.nonce),
    report_data: toHex(report.nonce),
    driver_version: facts.driverVersion,
    vbios_version: facts.vbiosVersion,
    project: facts.project,
    project_sku: facts.projectSku,
    chip_sku: facts.chipSku,
    fwid: facts.fwid,
    nvdec0_enabled: facts.isNvdec0On,
    protected_pcie: facts.isPciProtected,
    mode: facts.mode,
    measurement_count: measurements.length,
    measurement: overall.digest('hex'),
    measurements: Object.fromEntries(measurements.map(([index, value]) => [String(index), toHex(value)])),
    trailing_bytes: report.trailingBytes,
    debug: null, // the report has no such bit: only measurements that match a release RIM rule debug firmware out
    revocation: 'unknown', // NVIDIA answers that by OCSP alone, and an appraisal asks nobody
  });
}

/** Fits when nobody asked. What is not hex of 32 bytes fits nothing. */
function nonceFits({ nonce }: NvidiaReport, expected: unknown): boolean {
  return expected === undefined || expected === null || (typeof expected === 'string' && expected.toLowerCase() === toHex(nonce));
}

function examineLeaf(report: NvidiaReport, { fwid }: ReportFacts, leaf: Certificate, found: Set<NvidiaWord>): void {
  const certified = fwidOf(leaf);
  if (certified === undefined) found.add('leaf_without_fwid');
  else if (fwid !== null && fwid !== certified) found.add('fwid_mismatch');
  const [r, s] = [report.signature.subarray(0, SIGNATURE_BYTES / 2), report.signature.subarray(SIGNATURE_BYTES / 2)];
  const isP384 = curveOf(leaf.publicKey) === 'secp384r1';
  if (!isP384 || !ecdsaVerifies('sha384', report.signed, { r, s }, leaf.publicKey)) found.add('report_signature_invalid');
}

function examineChain(
  chain: readonly [Certificate, ...Certificate[]],
  { roots, now }: ExaminationInputs,
  memo: IssuerMemo,
  { found, claims }: Findings,
): void {
  const followed = followChain(chain, memo);
  const [leaf] = chain;
  const root = chain.at(-1);
  Object.assign(claims, {
    leaf: partOf(leaf.subject, 'CN') ?? null,
    leaf_serial: `0x${leaf.serial}`,
    valid_from: isoSeconds(followed.validity.from),
    valid_until: isoSeconds(followed.validity.until),
  });
  // A chain ends with a root, whoever's: one that ends before is not whole, although a pinned root may have signed its end.
  const isEnded = root !== undefined && equalBytes(root.subject.whole, root.issuer.whole);
  if (!followed.isWhole || !isEnded) found.add('chain_incomplete');
  if (!roots.some(({ name, certificate }) => name === DEVICE_ROOT && root !== undefined && equalBytes(root.der, certificate))) {
    found.add('untrusted_root');
  }
  const outside = outsideValidity(followed, now);
  if (outside !== undefined) found.add(outside);
}

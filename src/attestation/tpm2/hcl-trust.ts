/**
 * Azure's reason to believe a vTPM: a SEV-SNP report of the guest whose report data is the digest of a text that names the vTPM's key. The
 * report is of the boot; the quote answers the challenge. Whoever owns such hardware can start firmware that says anything, so a reference value
 * has to say which firmware (documents/reference-values.ts).
 */
import type { KeyObject } from 'node:crypto';
import { equalBytes, toBase64, toHex } from '../../domain/bytes.ts';
import { failedClaim, isRefusal, type Refusal, refuse } from '../../domain/evidence.ts';
import type { Facts } from '../../domain/facts.ts';
import type { ReportCheck, VerificationContext } from '../port.ts';
import type { CertifiedKey } from './ak-anchors.ts';
import type { HclEvidence } from './evidence.ts';

/** What the facts of a report are called beside a quote. */
const NAMES: Readonly<Record<string, string>> = {
  product: 'teeProduct',
  measurement: 'teeMeasurement',
  idKeyDigest: 'teeIdKeyDigest',
  chipId: 'teeChipId',
  guestSvn: 'teeGuestSvn',
  tcbBootLoader: 'teeTcbBootLoader',
  tcbTee: 'teeTcbTee',
  tcbSnp: 'teeTcbSnp',
  tcbMicrocode: 'teeTcbMicrocode',
  revocation: 'teeRevocation',
  collateralStale: 'collateralStale',
  debug: 'debug',
};

export async function checkHclReport(
  { report, certificate, intermediate }: HclEvidence,
  key: KeyObject,
  { context, snpReport }: { readonly context: VerificationContext; readonly snpReport: ReportCheck },
): Promise<CertifiedKey | Refusal> {
  if (report.tee !== 'snp') return refuse('endorsement_untrusted', 'of HCL reports, the vault takes those of SEV-SNP alone');
  const body = {
    report: toBase64(report.report),
    ...(certificate && { certificate: toBase64(certificate) }),
    ...(intermediate && { intermediate: toBase64(intermediate) }),
  };
  const verified = await snpReport(body, context);
  if (isRefusal(verified)) return verified;
  if (!report.bindsRuntimeData || !equalBytes(verified.reportData, report.reportData)) {
    const failed = failedClaim('reportData', 'the digest of the text beside it', toHex(report.reportData));
    return refuse('endorsement_untrusted', 'the report data of the hardware report is not the digest of the text beside it', { failed });
  }
  if (report.attestationKey?.equals(key) !== true) {
    const failed = failedClaim('HCLAkPub', 'the key that quoted, once', report.keyNames.join(','));
    return refuse('endorsement_untrusted', 'the hardware report names another attestation key than the one that quoted', { failed });
  }
  return unlike(verified.facts) ?? { facts: renamed(verified.facts), endorsements: verified.endorsements };
}

/** The firmware runs at level 0; what asked at another is the guest's own system, which may write what it likes. Nor may the guest move away from its key. */
function unlike(facts: Facts): Refusal | undefined {
  const wanted = { vmpl: 0, migrationAgent: false };
  const failed = Object.entries(wanted)
    .filter(([name, value]) => facts[name] !== value)
    .map(([name, value]) => ({ claim: name, expected: [String(value)], seen: String(facts[name]) }));
  if (failed.length === 0) return undefined;
  return refuse('endorsement_untrusted', 'the hardware report was not asked for by the firmware of a guest that stays', { failed });
}

function renamed(facts: Facts): Facts {
  return Object.fromEntries(Object.entries(facts).flatMap(([name, value]) => (NAMES[name] === undefined ? [] : [[NAMES[name], value]])));
}

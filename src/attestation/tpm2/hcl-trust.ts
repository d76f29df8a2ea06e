/**
 * Azure's reason to believe a vTPM: a hardware report of the guest whose report data is the digest of a text that names the vTPM's key. The
 * report is of the boot; the quote answers the challenge. Whoever owns such hardware can start firmware that says anything, so a reference value
 * has to say which firmware (documents/reference-values.ts).
 */
import type { KeyObject } from 'node:crypto';
import { equalBytes, fromHex, toBase64, toHex } from '../../domain/bytes.ts';
import { failedClaim, isRefusal, type Refusal, refuse } from '../../domain/evidence.ts';
import type { Facts } from '../../domain/facts.ts';
import type { ReportChecks, VerificationContext } from '../port.ts';
import type { CertifiedKey } from './ak-anchors.ts';
import type { HclEvidence } from './evidence.ts';

export interface KeyInTee extends CertifiedKey {
  readonly reportKind: keyof ReportChecks;
}

/** A hardware report as Azure has it beside the text, in the form that its own kind takes. */
interface Kind {
  readonly reportKind: keyof ReportChecks;
  /** Undefined when parts of it are missing, or are of the other kind. */
  body(evidence: HclEvidence): Readonly<Record<string, string>> | undefined;
  /** What the facts of a report are called beside a quote. */
  readonly names: Readonly<Record<string, string>>;
  /** Of a report that the firmware asked for, of a guest that stays on its machine with its key. */
  readonly wanted: Facts;
  derived(facts: Facts): Facts;
}

/** The firmware runs at level 0; what asked at another is the guest's own system, which may write what it likes. */
const SNP: Kind = {
  reportKind: 'sev-snp',
  body: ({ report: { report }, certificate, intermediate, quote }) =>
    quote === undefined
      ? {
          report: toBase64(report),
          ...(certificate && { certificate: toBase64(certificate) }),
          ...(intermediate && { intermediate: toBase64(intermediate) }),
        }
      : undefined,
  names: {
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
  },
  wanted: { vmpl: 0, migrationAgent: false },
  derived: (facts) => facts,
};

/** TDATTRIBUTES bit 29 (TDX module ABI): a service TD may move the guest. */
const MIGRATABLE = { byte: 3, mask: 0x20 };

/**
 * The HCL report has a TDREPORT, which only the machine itself could check: a quote has the same report data. Of a partitioned TD the firmware alone gets
 * reports, so there is no level to ask for.
 */
const TDX: Kind = {
  reportKind: 'tdx',
  body: ({ quote, certificate, intermediate }) =>
    quote === undefined || certificate !== undefined || intermediate !== undefined ? undefined : { quote: toBase64(quote) },
  names: {
    product: 'teeProduct',
    mrtd: 'teeMeasurement',
    tcbStatus: 'teeTcbStatus',
    advisoryIds: 'teeAdvisoryIds',
    fmspc: 'teeFmspc',
    revocation: 'teeRevocation',
    collateralStale: 'collateralStale',
    debug: 'debug',
  },
  wanted: { migratable: false },
  derived: (facts) => {
    const attributes = fromHex(String(facts['tdAttributes']));
    return { ...facts, product: 'TDX', migratable: ((attributes[MIGRATABLE.byte] ?? 0xff) & MIGRATABLE.mask) !== 0 };
  },
};

export async function checkHclReport(
  evidence: HclEvidence,
  key: KeyObject,
  { context, reports }: { readonly context: VerificationContext; readonly reports: ReportChecks },
): Promise<KeyInTee | Refusal> {
  const { report } = evidence;
  const kind = report.tee === 'snp' ? SNP : TDX;
  const body = kind.body(evidence);
  if (body === undefined)
    return refuse('evidence_malformed', 'hcl: a quote belongs to the report of a TDX guest, certificates to that of a SEV-SNP guest');
  const verified = await reports[kind.reportKind](body, context);
  if (isRefusal(verified)) return verified;
  if (!report.bindsRuntimeData || !equalBytes(verified.reportData, report.reportData)) {
    const failed = failedClaim('reportData', 'the digest of the text beside it', toHex(verified.reportData));
    return refuse('endorsement_untrusted', 'the report data of the hardware report is not the digest of the text beside it', { failed });
  }
  if (report.attestationKey?.equals(key) !== true) {
    const failed = failedClaim('HCLAkPub', 'the key that quoted, once', report.keyNames.join(','));
    return refuse('endorsement_untrusted', 'the hardware report names another attestation key than the one that quoted', { failed });
  }
  const facts = kind.derived(verified.facts);
  return unlike(facts, kind) ?? { reportKind: kind.reportKind, facts: renamed(facts, kind), endorsements: verified.endorsements };
}

function unlike(facts: Facts, { wanted }: Kind): Refusal | undefined {
  const failed = Object.entries(wanted)
    .filter(([name, value]) => facts[name] !== value)
    .map(([name, value]) => ({ claim: name, expected: [String(value)], seen: String(facts[name]) }));
  if (failed.length === 0) return undefined;
  return refuse('endorsement_untrusted', 'the hardware report was not asked for by the firmware of a guest that stays', { failed });
}

function renamed(facts: Facts, { names }: Kind): Facts {
  return Object.fromEntries(Object.entries(facts).flatMap(([name, value]) => (names[name] === undefined ? [] : [[names[name], value]])));
}

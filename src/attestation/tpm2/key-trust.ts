/**
 * Why an attestation key counts. Three reasons, and never that it came with the evidence: it was enrolled by credential activation; its cloud
 * certifies it, up to an anchor in force; or a hardware report of the guest, under its own anchors, names it (Azure).
 */
import {
  type Endorsement,
  type EnrolledTpm2,
  type EnrolledWorkload,
  failedClaim,
  isRefusal,
  type Refusal,
  refuse,
  tpm2AttesterKey,
  type VerifiedTpm2,
} from '../../domain/evidence.ts';
import type { Facts } from '../../domain/facts.ts';
import type { ReportChecks, VerificationContext } from '../port.ts';
import { findWorkload } from '../workload.ts';
import type { IssuerMemo } from '../x509/path.ts';
import { checkAkCertificate } from './ak-anchors.ts';
import type { Tpm2Evidence } from './evidence.ts';
import { checkHclReport } from './hcl-trust.ts';

export interface KeyTrust extends Pick<VerifiedTpm2, 'anchoredBy' | 'proved'> {
  readonly facts: Facts;
  readonly endorsements: readonly Endorsement[];
  /** Known at once when the key itself was enrolled; otherwise found by `requesterOf`, when the quote has been verified. */
  readonly activated?: EnrolledTpm2;
}

export interface TrustInputs {
  readonly evidence: Tpm2Evidence;
  readonly context: VerificationContext;
  readonly reports: ReportChecks;
  readonly memo: IssuerMemo;
}

/** A key that was enrolled by activation needs nothing that came along, so nothing of it is looked at. */
export async function trustKey({ evidence, context, reports, memo }: TrustInputs): Promise<KeyTrust | Refusal> {
  const { ak, akCertificate, hcl } = evidence;
  const akName = ak.name;
  const activated = await findActivated(akName, context);
  if (activated !== undefined) return { activated, facts: { akName, akTrust: 'activation' }, endorsements: [] };
  if (akCertificate === undefined && hcl === undefined) {
    const failed = failedClaim('akName', 'of somebody enrolled', akName);
    return refuse('attester_key_unknown', `no attester of this namespace is enrolled with attestation key ${akName}`, { failed });
  }
  const certified = akCertificate && (await checkAkCertificate(akCertificate, ak.key, { context, memo }));
  if (certified !== undefined && isRefusal(certified)) return certified;
  const inTee = hcl && (await checkHclReport(hcl, ak.key, { context, reports }));
  if (inTee !== undefined && isRefusal(inTee)) return inTee;
  return {
    facts: {
      akName,
      akTrust: inTee === undefined ? 'certificate' : 'tee',
      ...certified?.facts,
      ...inTee?.facts,
      collateralStale: [certified, inTee].some((one) => one?.facts['collateralStale'] === true),
    },
    endorsements: [...(certified?.endorsements ?? []), ...(inTee?.endorsements ?? [])],
    ...(inTee && { anchoredBy: inTee.reportKind, proved: { fresh: true, keyBound: true, hardware: true, tee: true } }),
  };
}

/**
 * After everything is verified; before it a refusal names nobody. A key that is enrolled both ways is nobody's: a stop of the one must not be passed
 * by as the other.
 */
export async function requesterOf(
  { activated, facts }: KeyTrust,
  context: VerificationContext,
): Promise<EnrolledTpm2 | EnrolledWorkload | Refusal> {
  const found = await findWorkload('tpm2', facts, context);
  if (activated === undefined) return found;
  if (isRefusal(found) && found.code === 'attester_key_unknown') return activated;
  const names = isRefusal(found) ? found.detail : `${activated.name}, ${found.name}`;
  return refuse('attester_ambiguous', 'the key is enrolled by activation and as a workload', {
    failed: failedClaim('requester', 'one', names),
  });
}

/** Another namespace's attester is answered like a stranger: its existence is nobody else's business. */
async function findActivated(akName: string, context: VerificationContext): Promise<EnrolledTpm2 | undefined> {
  const attester = await context.attester(tpm2AttesterKey(akName));
  const same = attester?.kind === 'tpm2' && 'akName' in attester && attester.akName === akName && attester.namespace === context.namespace;
  return same ? attester : undefined;
}

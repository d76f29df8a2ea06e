/** PDP: from what is proved to a Permit, or to the reason why not (rule.ts). The only place that makes a Permit. */
import type { Permit } from '../domain/access.ts';
import { assertEarned, claimStage } from '../domain/earned.ts';
import { type AttestationResult, type Refusal, refuse } from '../domain/evidence.ts';
import type { Digest } from '../domain/ids.ts';
import type { Manifest } from '../domain/model.ts';
import { type AdministrationQuestion, type ReleaseSupposition, ruleAdministration, ruleRelease } from './rule.ts';

export type { AdministrationQuestion } from './rule.ts';

export interface ReleaseQuestion extends ReleaseSupposition {
  readonly attested: AttestationResult;
  readonly manifest: Manifest;
}

export interface AdministrationPermit {
  /** Ids of the policies that determined the decision. */
  readonly determining: readonly string[];
  readonly policySetDigest: Digest;
}

const mint = claimStage('Permit');

/** Throws when `attested` did not come out of an appraisal, or the set is another namespace's: those are faults of ours, not answers. */
export function decideRelease(question: ReleaseQuestion): Permit | Refusal {
  const { attested, manifest, versionDigest, delivery } = question;
  assertEarned('AttestationResult', attested);
  const ruling = ruleRelease(question);
  if (ruling.decision === 'deny') {
    return refuse(ruling.code, ruling.detail, {
      subject: attested.subject,
      evidenceDigest: attested.evidenceDigest,
      appraisalPolicyId: attested.appraisalPolicyId,
      appraised: attested.pieces,
    });
  }
  const { determining, policySetDigest } = ruling;
  return mint({ attested, manifest, versionDigest, delivery, determining, policySetDigest });
}

/** Throws when the set is not the vault's own. */
export function decideAdministration(question: AdministrationQuestion): AdministrationPermit | Refusal {
  const ruling = ruleAdministration(question);
  if (ruling.decision === 'deny') return refuse(ruling.code, ruling.detail);
  return { determining: ruling.determining, policySetDigest: ruling.policySetDigest };
}

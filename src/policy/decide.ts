/**
 * PDP: from what is proved to a Permit, or to the reason why not. The only place that makes a Permit.
 * Start from no: every line refuses until the last one.
 */
import type { Permit } from '../domain/access.ts';
import { CLASSES } from '../domain/classes.ts';
import { assertEarned, claimStage } from '../domain/earned.ts';
import { isRefusal, type Refusal, refuse } from '../domain/evidence.ts';
import { type Digest, type Namespace, SYSTEM } from '../domain/ids.ts';
import type { AdminAction } from './actions.ts';
import {
  type AdministrationContext,
  type AdministratorAttributes,
  administrationRequest,
  type ReleaseAttributes,
  releaseRequest,
} from './attributes.ts';
import { type Decision, evaluate, nameFew } from './evaluate.ts';
import type { LoadedPolicySet } from './policy-set.ts';

export interface ReleaseQuestion extends ReleaseAttributes {
  /** The set in force in the manifest's namespace. */
  readonly policySet: LoadedPolicySet | undefined;
}

export interface AdministrationQuestion {
  readonly administrator: AdministratorAttributes;
  readonly action: AdminAction;
  readonly namespace: Namespace;
  readonly context: AdministrationContext;
  /** The set in force in the namespace `system`. */
  readonly policySet: LoadedPolicySet | undefined;
}

export interface AdministrationPermit {
  /** Ids of the policies that determined the decision. */
  readonly determining: readonly string[];
  readonly policySetDigest: Digest;
}

const mint = claimStage('Permit');

/** Throws when `attested` did not come out of an appraisal, or the set is another namespace's: those are faults of ours, not answers. */
export function decideRelease(question: ReleaseQuestion): Permit | Refusal {
  const { attested, manifest, versionDigest, delivery, policySet } = question;
  assertEarned('AttestationResult', attested);
  const known = { subject: attested.subject, evidenceDigest: attested.evidenceDigest };

  if (attested.subject.namespace !== manifest.namespace)
    return refuse('policy_denied', 'the requester belongs to another namespace', known);
  const unmet = unmetDemand(question);
  if (unmet !== undefined) return refuse('class_demands_unmet', unmet, known);
  assertSetOf(manifest.namespace, policySet);

  const decision = evaluate(policySet, releaseRequest(question));
  if (isRefusal(decision)) return { ...decision, ...known };
  if (!decision.allow) return refuse('policy_denied', whyDenied(decision), known);
  const { determining, policySetDigest } = decision;
  return mint({ attested, manifest, versionDigest, delivery, determining, policySetDigest });
}

/** Throws when the set is not the vault's own. */
export function decideAdministration(question: AdministrationQuestion): AdministrationPermit | Refusal {
  const { administrator, action, namespace, context, policySet } = question;
  assertSetOf(SYSTEM, policySet);
  const decision = evaluate(policySet, administrationRequest(administrator, action, namespace, context));
  if (isRefusal(decision)) return decision;
  if (!decision.allow) return refuse('action_denied', whyDenied(decision));
  return { determining: decision.determining, policySetDigest: decision.policySetDigest };
}

/** What the class demands and the evidence lacks; policies can ask for more, never for less. */
function unmetDemand({ attested, manifest }: ReleaseQuestion): string | undefined {
  if (manifest.class === 'critical') {
    return 'critical versions need a witness and a standing authorization by two people, which this vault does not have yet';
  }
  if (!Object.hasOwn(CLASSES, manifest.class)) return 'the class is not known'; // "constructor" is no class
  const demands = CLASSES[manifest.class];
  const lacking = (['fresh', 'keyBound', 'hardware', 'tee'] as const).filter((fact) => demands[fact] && !attested[fact]);
  return lacking.length > 0 ? `${manifest.class} versions need evidence that is: ${lacking.join(', ')}` : undefined;
}

/** In a denial Cedar's reasons are the forbids that applied; without one, no permit did. */
function whyDenied({ determining }: Decision): string {
  return determining.length > 0 ? `forbidden by ${nameFew(determining)}` : 'no policy permits it';
}

function assertSetOf(namespace: string, policySet: LoadedPolicySet | undefined): void {
  if (policySet !== undefined && policySet.namespace !== namespace) throw new Error("the policy set in force is another namespace's");
}

/**
 * What the rules say about a question: the class's demands, then the policies. Start from no: every line refuses until the last one.
 * A ruling opens nothing. Only decide.ts makes a Permit, out of a ruling on what was really proved; trying policies out stops here.
 */
import { CLASSES } from '../domain/classes.ts';
import type { ErrorCode } from '../domain/errors.ts';
import { isRefusal, type Refusal } from '../domain/evidence.ts';
import { type Digest, type Namespace, SYSTEM } from '../domain/ids.ts';
import type { AdminAction } from './actions.ts';
import {
  type AdministrationContext,
  type AdministratorAttributes,
  administrationRequest,
  type ReleaseAttributes,
  releaseRequest,
} from './attributes.ts';
import { type CedarRequest, type Decision, evaluate, nameFew } from './evaluate.ts';
import type { LoadedPolicySet } from './policy-set.ts';
import { standingFor } from './standing.ts';

export interface ReleaseSupposition extends ReleaseAttributes {
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

/** `determining`: ids of the permits that permitted, or of the forbids that denied; a denial without one is for another reason. */
export type Ruling =
  | { readonly decision: 'permit'; readonly determining: readonly string[]; readonly policySetDigest: Digest }
  | { readonly decision: 'deny'; readonly determining: readonly string[]; readonly code: ErrorCode; readonly detail: string };

const UNAUTHORIZED =
  'critical versions need a standing authorization: a permit of this very version, signed by two people, that has not run out';

/** Throws when the set is another namespace's. */
export function ruleRelease(question: ReleaseSupposition): Ruling {
  const { attested, manifest, policySet } = question;
  if (attested.subject.namespace !== manifest.namespace) return deny('policy_denied', 'the requester belongs to another namespace');
  assertSetOf(manifest.namespace, policySet);
  const standing = manifest.class === 'critical' ? standingFor(policySet, manifest, question.now) : undefined;
  if (standing?.size === 0) return deny('class_demands_unmet', UNAUTHORIZED);
  const unmet = unmetDemand(question);
  if (unmet !== undefined) return deny('class_demands_unmet', unmet);
  const ruling = ruleByPolicies(policySet, releaseRequest(question), 'policy_denied');
  if (ruling.decision === 'permit' && standing && !ruling.determining.some((id) => standing.has(id)))
    return deny('class_demands_unmet', UNAUTHORIZED);
  return ruling;
}

/** Throws when the set is not the vault's own. */
export function ruleAdministration({ administrator, action, namespace, context, policySet }: AdministrationQuestion): Ruling {
  assertSetOf(SYSTEM, policySet);
  return ruleByPolicies(policySet, administrationRequest(administrator, action, namespace, context), 'action_denied');
}

/** What the policies alone say. A guard that no request gets as far as, because a class refuses first, can be seen to hold only here. */
export function ruleByPolicies(
  policySet: LoadedPolicySet | undefined,
  request: CedarRequest,
  denied: 'policy_denied' | 'action_denied',
): Ruling {
  const answer = evaluate(policySet, request);
  if (isRefusal(answer)) return deny(answer.code, answer.detail);
  const { allow, determining, policySetDigest } = answer;
  return allow ? { decision: 'permit', determining, policySetDigest } : { ...deny(denied, whyDenied(answer)), determining };
}

/** What the class demands and the evidence lacks; policies can ask for more, never for less. */
function unmetDemand({ attested, manifest }: ReleaseSupposition): string | undefined {
  if (!Object.hasOwn(CLASSES, manifest.class)) return 'the class is not known'; // "constructor" is no class
  const demands = CLASSES[manifest.class];
  const lacking = (['fresh', 'keyBound', 'hardware', 'tee'] as const).filter((fact) => demands[fact] && !attested[fact]);
  return lacking.length > 0 ? `${manifest.class} versions need evidence that is: ${lacking.join(', ')}` : undefined;
}

/** In a denial Cedar's reasons are the forbids that applied; without one, no permit did. */
function whyDenied({ determining }: Decision): string {
  return determining.length > 0 ? `forbidden by ${nameFew(determining)}` : 'no policy permits it';
}

function deny(code: Refusal['code'], detail: string) {
  return { decision: 'deny' as const, determining: [], code, detail };
}

function assertSetOf(namespace: string, policySet: LoadedPolicySet | undefined): void {
  if (policySet !== undefined && policySet.namespace !== namespace) throw new Error("the policy set in force is another namespace's");
}

/** Cases that a policy author writes down (policies/tests): a request, and the decision it must get. */
import type { ClassName, Delivery } from '../domain/classes.ts';
import { type Namespace, SYSTEM } from '../domain/ids.ts';
import type { AdminAction } from './actions.ts';
import { type AdministrationContext, type EgressAttributes, NO_EGRESS, releaseRequest } from './attributes.ts';
import type { Policies } from './policy-text.ts';
import { type Ruling, ruleByPolicies, ruleRelease } from './rule.ts';
import { ruleOnAdministrator, type SupposedEvidence, supposeRelease, supposeSet, TPM_QUOTE } from './suppose.ts';

export type Expected =
  | { readonly decision: 'permit'; readonly determining: readonly string[] }
  | { readonly decision: 'deny'; readonly code: string; readonly detail: string };

export interface ReleaseCase {
  readonly name: string;
  readonly requester: { readonly namespace: Namespace; readonly name: string; readonly attributes: Readonly<Record<string, string>> };
  readonly version: { readonly namespace: Namespace; readonly class: ClassName; readonly attributes: Readonly<Record<string, string>> };
  /** What differs from a fresh, key-bound TPM quote. */
  readonly evidence?: Partial<SupposedEvidence> | undefined;
  readonly delivery?: Delivery | undefined;
  /** What the requester took before; nothing when it is not said. */
  readonly egress?: Partial<EgressAttributes> | undefined;
  readonly at?: Date | undefined;
  /** Ask the policies alone, as if the class demanded nothing: the only way to see a guard hold that no request gets as far as. */
  readonly policiesAlone?: boolean | undefined;
  readonly expect: Expected;
}

export interface AdministrationCase {
  readonly name: string;
  readonly roles: readonly string[];
  readonly action: AdminAction;
  readonly namespace: Namespace;
  readonly context?: Partial<Omit<AdministrationContext, 'now'>> | undefined;
  readonly at?: Date | undefined;
  readonly expect: Expected;
}

export type PolicyCase = ReleaseCase | AdministrationCase;

export interface CaseResult {
  readonly name: string;
  readonly passed: boolean;
  readonly expected: Expected;
  readonly got: Expected;
  /** The policies that decided, in a denial too. */
  readonly determining: readonly string[];
}

/** The time of a case that names none. A fixed one: a case that passes today must pass tomorrow. */
const SOME_TIME = new Date('2026-03-01T12:00:00.000Z');

export function runCase(one: PolicyCase, policies: Policies): CaseResult {
  const ruling = 'roles' in one ? ruleOnPerson(one, policies) : ruleOnMachine(one, policies);
  const got = answerOf(ruling);
  const { name, expect: expected } = one;
  return { name, passed: sameAnswer(expected, got), expected, got, determining: ruling.determining };
}

/** Policies that decided none of the cases: nobody would notice if they were gone. */
export function undecisive(policies: Policies, results: readonly CaseResult[]): string[] {
  const decisive = new Set(results.flatMap(({ determining }) => determining));
  return Object.keys(policies).filter((id) => !decisive.has(id));
}

function ruleOnMachine(
  { requester, version, evidence, delivery = 'stream', egress, at = SOME_TIME, policiesAlone }: ReleaseCase,
  policies: Policies,
): Ruling {
  const policySet = supposeSet(policies, version.namespace);
  const asked = supposeRelease({
    requester,
    version,
    evidence: { ...TPM_QUOTE, ...evidence },
    delivery,
    egress: { ...NO_EGRESS, ...egress },
    policySet,
    now: at,
  });
  return policiesAlone === true ? ruleByPolicies(policySet, releaseRequest(asked), 'policy_denied') : ruleRelease(asked);
}

function ruleOnPerson({ roles, action, namespace, context, at = SOME_TIME }: AdministrationCase, policies: Policies): Ruling {
  const whole = { mfa: 'totp' as const, workstationBound: true, ...context, now: at };
  return ruleOnAdministrator({ name: 'somebody', roles }, action, namespace, whole, supposeSet(policies, SYSTEM));
}

function answerOf(ruling: Ruling): Expected {
  if (ruling.decision === 'permit') return { decision: 'permit', determining: ruling.determining };
  return { decision: 'deny', code: ruling.code, detail: ruling.detail };
}

function sameAnswer(expected: Expected, got: Expected): boolean {
  if (expected.decision === 'deny') return got.decision === 'deny' && got.code === expected.code && got.detail === expected.detail;
  return got.decision === 'permit' && [...expected.determining].sort().join() === [...got.determining].sort().join();
}

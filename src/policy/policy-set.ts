/** PAP: the access policies of one namespace. A set is in force whole or not at all. Format: docs/formats/policy-set.md. */
import { validate } from '@cedar-policy/cedar-wasm/nodejs';
import { sha256Hex } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import type { Digest, Namespace, VaultId } from '../domain/ids.ts';
import { canonicalJson } from '../domain/json.ts';
import { LruMap } from '../domain/lru-map.ts';
import { setSizeProblems } from './policy-limits.ts';
import { invalid, inWords, located, type Policies, type PolicyProblem, policyProblems } from './policy-text.ts';
import { SCHEMA_TEXT } from './schema.ts';

export { splitPolicies } from './policy-text.ts';
export { SCHEMA_DIGEST } from './schema.ts';

/** What the signed document of kind `policy-set` says. */
export interface PolicySetBody {
  readonly v: 1;
  readonly vaultId: VaultId;
  readonly namespace: Namespace;
  readonly counter: number;
  readonly createdAt: string;
  readonly schemaDigest: Digest;
  readonly policies: Policies;
}

/** A policy set the decision point accepts: checked against the schema of this process. Made only by `loadPolicySet`. */
export interface LoadedPolicySet {
  readonly namespace: Namespace;
  /** Of the signed document. */
  readonly digest: Digest;
  readonly policies: Policies;
  /** SHA-256 of `policies` as computed here: what parsed sets are remembered by, so that no caller can mix two up. */
  readonly contentDigest: string;
  /** Why it cannot be evaluated, when the schema changed under it. Then it decides nothing. */
  readonly problem: string | undefined;
}

const loaded = new WeakSet<LoadedPolicySet>();
/** Outcome of validation by content; validating takes milliseconds to a tenth of a second. */
const outcomes = new LruMap<string, { readonly problem: string | undefined }>(64);

/**
 * Throws `policy_invalid`, naming every policy that is wrong with line, column and Cedar's help, unless all of them validate strictly.
 * An empty set is valid: it permits nothing.
 */
export function validatePolicySet(policies: Policies): void {
  const problems = policySetProblems(policies).map((one) => inWords(one, policies[one.policyId ?? ''] ?? ''));
  if (problems.length > 0) throw invalid([...new Set(problems)].sort());
}

/** Why these policies cannot be put in force: sizes, else each by itself, else against the schema. Empty when they can. */
export function policySetProblems(policies: Policies): PolicyProblem[] {
  const sizes = setSizeProblems(policies);
  if (sizes.length > 0) return sizes.map((message) => ({ message }));
  const alone = Object.entries(policies).flatMap(([id, text]) => policyProblems(id, text));
  return alone.length > 0 ? alone : schemaProblems(policies);
}

/** The set behind a signed document whose digest is `digest`. Never throws for its policies: a set that does not validate loads as one that denies. */
export function loadPolicySet(body: Pick<PolicySetBody, 'namespace' | 'policies'>, digest: Digest): LoadedPolicySet {
  const policies = Object.freeze({ ...body.policies });
  const contentDigest = sha256Hex(canonicalJson(policies));
  const set = Object.freeze({ namespace: body.namespace, digest, policies, contentDigest, problem: problemOf(policies, contentDigest) });
  loaded.add(set);
  return set;
}

/** Throws unless `set` came out of `loadPolicySet`: an object literal decides nothing. */
export function assertLoaded(set: LoadedPolicySet): void {
  if (!loaded.has(set)) throw new Error('this policy set was not loaded');
}

function problemOf(policies: Policies, contentDigest: string): string | undefined {
  const known = outcomes.get(contentDigest);
  if (known !== undefined) return known.problem;
  let problem: string | undefined;
  try {
    validatePolicySet(policies);
  } catch (error) {
    if (!(error instanceof VaultError)) throw error;
    problem = error.detail;
  }
  outcomes.set(contentDigest, { problem });
  return problem;
}

/**
 * Cedar answers "success" for sets full of errors, so the arrays are what counts. Its warnings count too: a policy that can never apply, or
 * text that reads differently than it compares, is not what its author thinks it is.
 */
function schemaProblems(policies: Policies): PolicyProblem[] {
  const answer = validate({ schema: SCHEMA_TEXT, policies: { staticPolicies: policies } });
  if (answer.type === 'failure') return located(answer.errors);
  const found = [...answer.validationErrors, ...answer.validationWarnings];
  const named = found.flatMap(({ policyId, error }) => located([error]).map((one) => ({ policyId, ...one })));
  return [...named, ...answer.otherWarnings.map(({ message }) => ({ message }))];
}

/** What Cedar's validator cannot see: it checks names and types, and these are mistakes of meaning. */
import { type Expr, getValidRequestEnvsPolicy, type PolicyJson, policyToJson } from '@cedar-policy/cedar-wasm/nodejs';
import { CLASS_NAMES, DELIVERIES } from '../domain/classes.ts';
import { MFA_METHODS } from './attributes.ts';
import { comparisonOf, conditionsOf, pathOf } from './expression.ts';
import { nearest } from './nearest.ts';
import { neverApplies } from './never-applies.ts';
import type { PolicyProblem } from './policy-text.ts';
import { SCHEMA_TEXT } from './schema.ts';
import { stringAt } from './statements.ts';

export interface Finding extends PolicyProblem {
  readonly policyId: string;
  /** An error is never what anybody means; a warning may be. */
  readonly severity: 'error' | 'warning';
}

export interface KnownValues {
  /** Kinds of evidence this product verifies. */
  readonly evidenceKinds: readonly string[];
  /** Ids of the reference values that can match; undefined when nobody said. */
  readonly referenceIds?: readonly string[];
}

/** What these attributes can be, so that a comparison with anything else is always false. */
const SINGLE_VALUES: Readonly<Record<string, readonly string[]>> = {
  'resource.class': CLASS_NAMES,
  'context.delivery': DELIVERIES,
  'context.evidence.tier': ['affirming'], // anything less never gets as far as a policy
  'context.mfa': MFA_METHODS,
};
const TAGS = ['principal.tags', 'resource.tags', 'context.evidence.facts'];
const RELEASE = 'WeightVault::Action::"release"';

/** Findings about one policy that parses. What does not is for the validator to say. */
export function lintPolicy(policyId: string, text: string, known: KnownValues): Finding[] {
  const parsed = policyToJson(text);
  if (parsed.type === 'failure') return [];
  const policy = parsed.json;
  const conditions = conditionsOf(policy);
  const found = [
    ...unknownValues(conditions, known),
    ...wildcards(conditions),
    ...tags(conditions),
    ...openPermit(policy, conditions, text),
  ];
  const hopeless = found.some(({ severity }) => severity === 'error'); // says the same, and where
  if (!hopeless && neverApplies(policy, SINGLE_VALUES)) {
    const what = policy.effect === 'forbid' ? 'this forbid can never apply, so it keeps nothing out' : 'this permit can never apply';
    found.push({ severity: 'error', message: what, help: 'its conditions contradict each other or what the vault always ensures' });
  }
  return found.map(({ literal, ...one }) => {
    const at = literal === undefined ? undefined : stringAt(text, literal);
    return { policyId, ...one, ...(at !== undefined && { at }) };
  });
}

interface Remark extends Pick<Finding, 'severity' | 'message' | 'help'> {
  /** The string literal it is about. */
  readonly literal?: string;
}

function unknownValues(conditions: readonly Expr[], known: KnownValues): Remark[] {
  const comparisons = conditions.flatMap((one) => comparisonOf(one) ?? []);
  return comparisons.flatMap(({ path, strings }) => {
    if (path === 'context.evidence.matched') {
      const ids = known.referenceIds;
      return ids === undefined ? [] : unknown(strings, ids, 'warning', (value) => `no reference value has the id "${value}"`);
    }
    const values = path === 'context.evidence.kinds' ? known.evidenceKinds : Object.hasOwn(SINGLE_VALUES, path) ? SINGLE_VALUES[path] : [];
    if (values === undefined || values.length === 0) return [];
    const verb = path === 'context.evidence.kinds' ? 'never contains' : 'is never';
    return unknown(strings, values, 'error', (value) => `\`${path}\` ${verb} "${value}"`);
  });
}

function unknown(
  strings: readonly string[],
  values: readonly string[],
  severity: Finding['severity'],
  say: (value: string) => string,
): Remark[] {
  return strings
    .filter((value) => !values.includes(value))
    .map((literal) => {
      const meant = nearest(literal, values);
      const help = meant === undefined ? `known: ${values.slice(0, 8).join(', ')}` : `did you mean "${meant}"?`;
      return { severity, message: say(literal), help, literal };
    });
}

/** `like "fleet-prod*"` also matches what nobody thought of. */
function wildcards(conditions: readonly Expr[]): Remark[] {
  return conditions.flatMap((one) => {
    if (!('like' in one)) return [];
    const { left, pattern } = one.like as { left: Expr; pattern: ReadonlyArray<string | { Literal: string }> }; // the only form of "like"
    if (pattern.at(-1) !== 'Wildcard') return [];
    const written = pattern.map((part) => (typeof part === 'string' ? '*' : part.Literal)).join('');
    const message = `\`${pathOf(left) ?? 'this'} like "${written}"\` matches everything that only begins so`;
    return [{ severity: 'warning' as const, message, help: 'compare whole values with == or contains', literal: written }];
  });
}

/** Tags are whole "key=value" strings: a star is only a character, and a bare key matches nothing. */
function tags(conditions: readonly Expr[]): Remark[] {
  const compared = conditions.flatMap((one) => comparisonOf(one) ?? []).filter(({ path }) => TAGS.includes(path));
  return compared.flatMap(({ path, strings }) =>
    strings.flatMap((literal): Remark[] => {
      if (!/^[^=]+=./.test(literal)) {
        return [{ severity: 'error', message: `\`${path}\` never contains "${literal}"`, help: 'a tag is written "key=value"', literal }];
      }
      if (!literal.includes('*')) return [];
      return [
        { severity: 'warning', message: `"*" in "${literal}" is a character here, not a wildcard`, help: 'write each value out', literal },
      ];
    }),
  );
}

/** A permit for releases that looks at neither class nor evidence leaves everything to the class's own demands. */
function openPermit(policy: PolicyJson, conditions: readonly Expr[], text: string): Remark[] {
  if (policy.effect !== 'permit' || policy.resource.op === '==') return [];
  const asks = conditions.some((one) => {
    const path = pathOf(one) ?? '';
    return path === 'resource.class' || path.startsWith('context.evidence.');
  });
  if (asks) return [];
  const kinds = getValidRequestEnvsPolicy(text, SCHEMA_TEXT);
  if (kinds.type === 'failure' || !kinds.actions.includes(RELEASE)) return [];
  const message = 'this permit has no condition on the class or the evidence: it releases versions of every class';
  return [{ severity: 'warning', message, help: 'add resource.class == "..." or a condition on context.evidence' }];
}

/** Reading the conditions of a parsed policy (Cedar's JSON policy format, https://docs.cedarpolicy.com/policies/json-format.html). */
import type { EntityUidJson, Expr, PolicyJson, TypeAndId } from '@cedar-policy/cedar-wasm/nodejs';

/** An expression as its operator and what it works on. */
interface Operation {
  readonly operator: string;
  /** By their names in the format: left, right, arg, if, then, else. Sets, records and functions have numbers. */
  readonly operands: Readonly<Record<string, Expr>>;
}

const LEAVES = ['Value', 'Var', 'Slot'];
const LISTS = ['Record']; // besides arrays: sets, and functions such as datetime("...")
const NAMED = ['left', 'right', 'arg', 'if', 'then', 'else', 'in'] as const;

export function operationOf(expression: Expr): Operation {
  const [operator, body] = Object.entries(expression)[0] ?? ['', {}];
  if (LEAVES.includes(operator)) return { operator, operands: {} };
  const named = body as Record<string, Expr>; // an object or array of operands: everything that is no leaf
  if (Array.isArray(body) || LISTS.includes(operator)) return { operator, operands: { ...named } };
  const present = NAMED.flatMap((name) => (named[name] === undefined ? [] : [[name, named[name]] as const]));
  return { operator, operands: Object.fromEntries(present) };
}

/** The expression and every expression within it, outermost first. Policies are bounded (policy-limits.ts), so this is shallow. */
export function within(expression: Expr): Expr[] {
  return [expression, ...Object.values(operationOf(expression).operands).flatMap(within)];
}

export function conditionsOf(policy: PolicyJson): Expr[] {
  return policy.conditions.flatMap(({ body }) => within(body));
}

/** `context.evidence.tier`, or undefined for what is not an attribute of principal, resource or context. */
export function pathOf(expression: Expr | undefined): string | undefined {
  if (expression === undefined) return undefined;
  if ('Var' in expression) return String(expression.Var);
  if (!('.' in expression)) return undefined;
  const { left, attr } = expression['.'] as { left: Expr; attr: string }; // the only form of "."
  const outer = pathOf(left);
  return outer === undefined ? undefined : `${outer}.${attr}`;
}

/** The strings a literal is or holds: "a", or a set ["a", "b"]. Undefined for anything else. */
export function stringsOf(expression: Expr | undefined): string[] | undefined {
  if (expression === undefined) return undefined;
  if ('Value' in expression) return typeof expression.Value === 'string' ? [expression.Value] : undefined;
  if (!('Set' in expression)) return undefined;
  const members = (expression.Set as Expr[]).map(stringsOf); // the only form of "Set"
  return members.every((one) => one !== undefined) ? members.flat() : undefined;
}

/** A comparison of an attribute with literal strings, whichever side they stand on. */
export interface Comparison {
  readonly operator: string;
  readonly path: string;
  readonly strings: readonly string[];
  /** `["a"].contains(path)`: the literal is asked about the attribute. */
  readonly literalFirst: boolean;
}

/** `path == "a"`, `path.contains("a")`, `["a", "b"].contains(path)` and the like. */
export function comparisonOf(expression: Expr): Comparison | undefined {
  const { operator, operands } = operationOf(expression);
  if (!['==', '!=', 'contains', 'containsAny', 'containsAll'].includes(operator)) return undefined;
  const { left, right } = operands;
  const literalFirst = pathOf(left) === undefined;
  const [path, strings] = literalFirst ? [pathOf(right), stringsOf(left)] : [pathOf(left), stringsOf(right)];
  return path === undefined || strings === undefined ? undefined : { operator, path, strings, literalFirst };
}

/** Every entity that the policy names as its resource, or anywhere in its conditions. */
export function entitiesOf(policy: PolicyJson): TypeAndId[] {
  const { resource } = policy;
  const scope = 'in' in resource && resource.in !== undefined ? resource.in : resource;
  const named = 'entity' in scope ? [scope.entity] : [];
  return [...named, ...conditionsOf(policy).flatMap(literalEntity)].map((entity) => ('__entity' in entity ? entity.__entity : entity));
}

function literalEntity(expression: Expr): EntityUidJson[] {
  if ('is' in expression && 'in' in (expression.is as object)) return literalEntity((expression.is as { in: Expr }).in); // "is T in entity"
  if (!('Value' in expression)) return [];
  const { Value } = expression;
  return typeof Value === 'object' && Value !== null && '__entity' in Value ? [Value as EntityUidJson] : []; // an entity literal
}

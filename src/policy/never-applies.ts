/**
 * Policies whose conditions contradict themselves. Cedar's validator finds those that are false by their types; this finds those that are false by
 * their values, such as a class that is "public" and "internal" at once. It never says so of a policy that could apply: what it cannot read
 * it takes for something that may be true or false.
 */
import type { Expr, PolicyJson } from '@cedar-policy/cedar-wasm/nodejs';
import { comparisonOf, operationOf } from './expression.ts';

/** Beyond this many ways for the conditions to hold, nothing is said. */
const MAX_WAYS = 512;

interface Atom {
  /** What is claimed, as text: equal texts are the same claim. */
  readonly claim: string;
  readonly holds: boolean;
  /** When the claim is that a single-valued attribute has a value. */
  readonly equals?: { readonly path: string; readonly value: string };
}

/** One way to satisfy the conditions: all of these at once. */
type Way = readonly Atom[];

/** `domains`: what attributes of one value can be, by path, where the vault gives only these. */
export function neverApplies(policy: PolicyJson, domains: Readonly<Record<string, readonly string[]>>): boolean {
  let ways: Way[] = [[]];
  for (const { kind, body } of policy.conditions) {
    const found = waysOf(body, kind === 'when');
    const joined = found && both(ways, found);
    if (joined === undefined) return false;
    ways = joined;
  }
  return ways.every((way) => contradicts(way, domains));
}

/** Every way for the expression to be true (or false), as alternatives. Undefined when there are too many. */
function waysOf(expression: Expr, holds: boolean): Way[] | undefined {
  const { operator, operands } = operationOf(expression);
  const { left, right, arg } = operands;
  if (operator === '!' && arg !== undefined) return waysOf(arg, !holds);
  if ((operator === '&&' || operator === '||') && left !== undefined && right !== undefined) {
    const [one, other] = [waysOf(left, holds), waysOf(right, holds)];
    if (one === undefined || other === undefined) return undefined;
    return (operator === '&&') === holds ? both(one, other) : bounded([...one, ...other]);
  }
  if ('Value' in expression && typeof expression.Value === 'boolean') return expression.Value === holds ? [[]] : [];
  return [[atom(expression, holds)]];
}

function atom(expression: Expr, holds: boolean): Atom {
  const opaque = { claim: JSON.stringify(expression), holds };
  const compared = comparisonOf(expression);
  const [value, second] = compared?.strings ?? [];
  if (compared === undefined || value === undefined || second !== undefined) return opaque;
  const { operator, path, literalFirst } = compared;
  if (operator === '==' || operator === '!=') {
    return { claim: `${path} == ${value}`, holds: holds === (operator === '=='), equals: { path, value } };
  }
  if (literalFirst && operator === 'containsAll') return opaque; // "the attribute has nothing besides"
  if (literalFirst && operator === 'contains') return { claim: `${path} == ${value}`, holds, equals: { path, value } };
  return { claim: `${path} has ${value}`, holds };
}

function both(some: readonly Way[], others: readonly Way[]): Way[] | undefined {
  return some.length * others.length > MAX_WAYS ? undefined : some.flatMap((one) => others.map((other) => [...one, ...other]));
}

function bounded(ways: Way[]): Way[] | undefined {
  return ways.length > MAX_WAYS ? undefined : ways;
}

function contradicts(way: Way, domains: Readonly<Record<string, readonly string[]>>): boolean {
  if (way.some((one) => way.some((other) => other.claim === one.claim && other.holds !== one.holds))) return true;
  const paths = new Set(way.flatMap(({ equals }) => equals?.path ?? []));
  return [...paths].some((path) => {
    const about = way.filter(({ equals }) => equals?.path === path);
    const is = new Set(about.flatMap(({ holds, equals }) => (holds && equals ? [equals.value] : [])));
    const isNot = new Set(about.flatMap(({ holds, equals }) => (!holds && equals ? [equals.value] : [])));
    const domain = Object.hasOwn(domains, path) ? domains[path] : undefined;
    if (is.size > 1 || (domain !== undefined && [...is].some((value) => !domain.includes(value)))) return true;
    return domain?.every((value) => isNot.has(value)) ?? false;
  });
}

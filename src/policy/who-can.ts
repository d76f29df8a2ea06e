/** Who could do what under a policy set: for machines over every assumption about their evidence, for people over actions and namespaces. */
import { policyToJson } from '@cedar-policy/cedar-wasm/nodejs';
import { type Namespace, SYSTEM } from '../domain/ids.ts';
import { ADMIN_ACTIONS, type AdminAction } from './actions.ts';
import { type Assumption, namesMatter } from './assume.ts';
import { MFA_METHODS, type RequesterAttributes } from './attributes.ts';
import { entitiesOf } from './expression.ts';
import type { Policies } from './policy-text.ts';
import { type Ruling, ruleRelease } from './rule.ts';
import { ruleOnAdministrator, type SupposedAdministrator, type SupposedVersion, supposeRelease, supposeSet } from './suppose.ts';

export interface ReleaseReach {
  readonly answer: 'always' | 'if' | 'never';
  /** The least evidence that is enough, as alternatives; `[[]]` for always. Each is a set of claims (assume.ts). */
  readonly enough: ReadonlyArray<readonly string[]>;
  /** Claims that turn what is enough into a denial, because a forbid looks at them. */
  readonly spoiledBy: ReadonlyArray<readonly string[]>;
  /** Policies that permit. */
  readonly determining: readonly string[];
  /** Why not, otherwise. */
  readonly otherwise: readonly string[];
}

interface Tried {
  readonly claims: ReadonlySet<string>;
  readonly ruling: Ruling;
}

export interface ReleaseAsked {
  readonly requester: RequesterAttributes;
  readonly version: SupposedVersion;
  readonly policies: Policies;
  readonly assumptions: readonly Assumption[];
  readonly now: Date;
}

/** What is ruled for a requester on a version under each assumption. */
export function tryAll({ requester, version, policies, assumptions, now }: ReleaseAsked): Tried[] {
  const policySet = supposeSet(policies, version.namespace);
  return assumptions.map(({ claims, evidence, delivery, version: more }) => {
    const attributes = { ...more.attributes, ...version.attributes }; // what is known of the version is not assumed away
    const supposed = { requester, version: { ...version, ...more, attributes }, evidence, delivery, policySet, now };
    return { claims, ruling: ruleRelease(supposeRelease(supposed)) };
  });
}

export function releaseReach(asked: ReleaseAsked): ReleaseReach {
  const tried = tryAll(asked);
  const permitted = tried.filter(({ ruling }) => ruling.decision === 'permit');
  const denied = tried.filter(({ ruling }) => ruling.decision === 'deny');
  const least = permitted.filter(({ claims }) => !permitted.some((other) => other.claims !== claims && isBelow(other.claims, claims)));
  const determining = [...new Set(least.flatMap(({ ruling }) => ruling.determining))].sort();
  if (denied.length === 0) return { answer: 'always', enough: [[]], spoiledBy: [], determining, otherwise: [] };
  if (permitted.length === 0) return { answer: 'never', enough: [], spoiledBy: [], determining, otherwise: reasons(denied) };
  const spoils = least.flatMap((one) =>
    denied.filter((other) => isBelow(one.claims, other.claims)).map((other) => ({ extra: other.claims.difference(one.claims), other })),
  );
  const leastSpoils = spoils.filter(({ extra }) => !spoils.some((other) => other.extra.size < extra.size && isBelow(other.extra, extra)));
  const short = denied.filter(({ claims }) => least.some((one) => one.claims.difference(claims).size === 1 && isBelow(claims, one.claims)));
  return {
    answer: 'if',
    enough: whicheverWay(
      least.map(({ claims }) => [...claims]),
      asked.assumptions,
    ),
    spoiledBy: distinct(leastSpoils.map(({ extra }) => [...extra])),
    determining,
    otherwise: reasons(short.length > 0 || leastSpoils.length > 0 ? [...short, ...leastSpoils.map(({ other }) => other)] : denied),
  };
}

/** The same for many: requesters that the policies cannot tell apart are asked about once. */
export function releaseReaches(requesters: readonly RequesterAttributes[], asked: Omit<ReleaseAsked, 'requester'>): ReleaseReach[] {
  const byName = namesMatter(asked.policies);
  const known = new Map<string, ReleaseReach>();
  return requesters.map((requester) => {
    const { namespace, name, attributes } = requester;
    const key = JSON.stringify([namespace, Object.entries(attributes).sort(), byName ? name : '']);
    const reach = known.get(key) ?? releaseReach({ ...asked, requester });
    known.set(key, reach);
    return reach;
  });
}

/** Where one administrator may do one action. */
export interface AdministrationReach {
  readonly action: AdminAction;
  /** In every namespace that no policy names. */
  readonly elsewhere: boolean;
  /** Of those that were asked about or are named by a policy. */
  readonly permitted: readonly Namespace[];
  readonly denied: readonly Namespace[];
  readonly determining: readonly string[];
  readonly otherwise: readonly string[];
}

/** No namespace has this name, so it stands for all that no policy names. */
const ELSEWHERE = '*' as Namespace;

/** Logged in with a second factor on their own workstation: without both the vault has no session to ask about. */
export function administrationReach(
  administrator: SupposedAdministrator,
  policies: Policies,
  asked: { readonly namespaces: readonly Namespace[]; readonly now: Date; readonly actions?: readonly AdminAction[] },
): AdministrationReach[] {
  const policySet = supposeSet(policies, SYSTEM);
  const namespaces = [...new Set([...asked.namespaces, ...namespacesIn(policies), SYSTEM])].sort();
  const rule = (action: AdminAction, namespace: Namespace) =>
    MFA_METHODS.map((mfa) =>
      ruleOnAdministrator(administrator, action, namespace, { mfa, workstationBound: true, now: asked.now }, policySet),
    );
  return (asked.actions ?? ADMIN_ACTIONS).map((action) => {
    const rulings = [ELSEWHERE, ...namespaces].map((namespace) => ({ namespace, rulings: rule(action, namespace) }));
    const may = ({ rulings: some }: (typeof rulings)[number]) => some.some(({ decision }) => decision === 'permit');
    const named = rulings.filter(({ namespace }) => namespace !== ELSEWHERE);
    const all = rulings.flatMap((one) => one.rulings);
    return {
      action,
      elsewhere: rulings.some((one) => one.namespace === ELSEWHERE && may(one)),
      permitted: named.filter(may).map(({ namespace }) => namespace),
      denied: named.filter((one) => !may(one)).map(({ namespace }) => namespace),
      determining: [...new Set(all.flatMap((one) => (one.decision === 'permit' ? one.determining : [])))].sort(),
      otherwise: reasons(all.map((ruling) => ({ ruling }))),
    };
  });
}

/** Namespaces that policies name, in their scope or their conditions. */
function namespacesIn(policies: Policies): Namespace[] {
  const entities = Object.values(policies).flatMap((text) => {
    const parsed = policyToJson(text);
    return parsed.type === 'success' ? entitiesOf(parsed.json) : [];
  });
  return entities.filter(({ type }) => type === 'WeightVault::Namespace').map(({ id }) => id as Namespace); // only compared with other names
}

function isBelow(some: ReadonlySet<string>, others: ReadonlySet<string>): boolean {
  return some.size < others.size && some.isSubsetOf(others);
}

/** Of evidence that comes one way or another (a delivery, a kind): what holds for every way is said once, without the way. */
function whicheverWay(sets: readonly string[][], assumptions: readonly Assumption[]): string[][] {
  return ['delivery ', 'kind '].reduce((alternatives, word) => {
    const ways = new Set(assumptions.flatMap(({ claims }) => [...claims].filter((claim) => claim.startsWith(word))));
    const rest = (set: readonly string[]) => set.filter((claim) => !claim.startsWith(word));
    const same = (a: readonly string[], b: readonly string[]) => rest(a).join() === rest(b).join();
    const waysOf = (set: readonly string[]) =>
      new Set(alternatives.filter((other) => same(set, other)).flatMap((other) => other.filter((claim) => claim.startsWith(word))));
    return distinct(alternatives.map((set) => (ways.size > 0 && waysOf(set).size === ways.size ? rest(set) : set)));
  }, distinct(sets));
}

function distinct(sets: ReadonlyArray<readonly string[]>): string[][] {
  return [...new Map(sets.map((set) => [set.join(), [...set]])).values()];
}

/** What the policies say, or else what the class demands, and that only by its code where several demands are unmet: at most three reasons. */
function reasons(denied: ReadonlyArray<{ readonly ruling: Ruling }>): string[] {
  const refusals = denied.flatMap(({ ruling }) => (ruling.decision === 'deny' ? [ruling] : []));
  const byPolicy = refusals.filter(({ code }) => code !== 'class_demands_unmet');
  const all = new Set((byPolicy.length > 0 ? byPolicy : refusals).map(({ code, detail }) => `${code}: ${detail}`));
  return byPolicy.length === 0 && all.size > 1 ? ['class_demands_unmet'] : [...all].slice(0, 3);
}

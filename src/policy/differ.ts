/** What another policy set would change: its policies, and, more to the point, the decisions. */
import type { Namespace } from '../domain/ids.ts';
import { type Assumption, namesMatter } from './assume.ts';
import type { RequesterAttributes } from './attributes.ts';
import type { Policies } from './policy-text.ts';
import type { SupposedAdministrator, SupposedVersion } from './suppose.ts';
import { type AdministrationReach, administrationReach, tryAll } from './who-can.ts';

export interface PolicyChanges {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
}

export function policyChanges(before: Policies, after: Policies): PolicyChanges {
  return {
    added: Object.keys(after).filter((id) => !Object.hasOwn(before, id)),
    removed: Object.keys(before).filter((id) => !Object.hasOwn(after, id)),
    changed: Object.keys(after).filter((id) => Object.hasOwn(before, id) && before[id] !== after[id]),
  };
}

export interface DecisionChange {
  readonly who: string;
  readonly what: string;
  readonly from: 'permit' | 'deny';
  readonly to: 'permit' | 'deny';
  /** The least that has to be true for the decision to change; empty for: whatever is true. */
  readonly when: ReadonlyArray<readonly string[]>;
  /** The policies that decide afterwards, or decided before. */
  readonly because: readonly string[];
}

export function releaseChanges(
  requesters: readonly RequesterAttributes[],
  versions: readonly SupposedVersion[],
  sets: { readonly before: Policies; readonly after: Policies; readonly assumptions: readonly Assumption[]; readonly now: Date },
): DecisionChange[] {
  const { assumptions, now } = sets;
  const byName = namesMatter(sets.before) || namesMatter(sets.after);
  const known = new Map<string, DecisionChange[]>();
  return requesters.flatMap((requester) =>
    versions.flatMap((version) => {
      const key = JSON.stringify([requester.attributes, byName ? requester.name : '', version]);
      const changes = known.get(key) ?? changesFor(requester, version);
      known.set(key, changes);
      return changes.map((one) => ({ ...one, who: requester.name }));
    }),
  );

  function changesFor(requester: RequesterAttributes, version: SupposedVersion): DecisionChange[] {
    const before = tryAll({ requester, version, policies: sets.before, assumptions, now });
    const after = tryAll({ requester, version, policies: sets.after, assumptions, now });
    const pairs = before.flatMap(({ claims, ruling }, at) => {
      const then = after[at]?.ruling;
      return then === undefined || then.decision === ruling.decision ? [] : [{ claims, from: ruling, to: then }];
    });
    return (['permit', 'deny'] as const).flatMap((to): DecisionChange[] => {
      const turned = pairs.filter((pair) => pair.to.decision === to);
      const least = turned.filter(
        ({ claims }) => !turned.some((other) => other.claims.size < claims.size && other.claims.isSubsetOf(claims)),
      );
      if (least.length === 0) return [];
      const determining = least.flatMap((one) => [...one.to.determining, ...(one.to.determining.length === 0 ? one.from.determining : [])]);
      return [
        {
          who: requester.name,
          what: `release of ${version.class} versions${tagged(version)}`,
          from: to === 'permit' ? 'deny' : 'permit',
          to,
          when: least.map(({ claims }) => [...claims]),
          because: [...new Set(determining)].sort(),
        },
      ];
    });
  }
}

function tagged({ attributes }: SupposedVersion): string {
  const tags = Object.entries(attributes).map(([key, value]) => `${key}=${value}`);
  return tags.length === 0 ? '' : ` with ${tags.join(', ')}`;
}

export function administrationChanges(
  administrators: readonly SupposedAdministrator[],
  before: Policies,
  after: Policies,
  asked: { readonly namespaces: readonly Namespace[]; readonly now: Date },
): DecisionChange[] {
  return administrators.flatMap((administrator) => {
    const old = administrationReach(administrator, before, asked);
    const now = administrationReach(administrator, after, asked);
    return now.flatMap((reach, at) => {
      const was = old[at];
      return was === undefined ? [] : turns(administrator.name, was, reach);
    });
  });
}

function turns(who: string, was: AdministrationReach, is: AdministrationReach): DecisionChange[] {
  const change = (to: 'permit' | 'deny', where: string): DecisionChange => ({
    who,
    what: `${is.action} ${where}`,
    from: to === 'permit' ? 'deny' : 'permit',
    to,
    when: [],
    because: to === 'permit' ? is.determining : was.determining,
  });
  // Namespaces that only one of the sets names were "elsewhere" for the other.
  const may = (reach: AdministrationReach, namespace: Namespace) =>
    reach.permitted.includes(namespace) || (reach.elsewhere && !reach.denied.includes(namespace));
  const named = [...new Set([was, is].flatMap(({ permitted, denied }) => [...permitted, ...denied]))].sort();
  const turned = named.filter((namespace) => may(was, namespace) !== may(is, namespace));
  const everywhere = was.elsewhere !== is.elsewhere ? [change(is.elsewhere ? 'permit' : 'deny', 'in any other namespace')] : [];
  return [...turned.map((namespace) => change(may(is, namespace) ? 'permit' : 'deny', `in ${namespace}`)), ...everywhere];
}

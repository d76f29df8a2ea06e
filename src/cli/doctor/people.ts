/** Probes of the administrators, as their signed documents say. */
import { each, type Finding, finding } from './findings.ts';

export interface Person {
  readonly name: string;
  readonly roles: readonly string[];
  /** Absent until it was set up. */
  readonly authenticator?: { readonly id: string; readonly kind: string } | undefined;
  readonly workstations: readonly string[];
  /** Since when this person is as they are now. */
  readonly since: Date;
  /** The last thing they did, as far back as was looked. */
  readonly lastSeen: Date | undefined;
}

const MANY_ROLES = 3;
const DORMANT_DAYS = 90;
const DAY_MS = 86_400_000;

export function secondFactor(people: readonly Person[]): Finding {
  const totp = people.filter(({ authenticator }) => authenticator?.kind === 'totp').length;
  if (totp === 0) return finding('second_factor', 'ok', 'none is TOTP');
  return finding('second_factor', 'warning', `${totp} of ${people.length} administrators have TOTP, which can be phished`);
}

export function approvers(people: readonly Person[]): Finding {
  const able = people.filter(({ roles, authenticator }) => roles.includes('approver') && authenticator !== undefined).length;
  return finding('approvers', able >= 2 ? 'ok' : 'critical', `${able} can approve`);
}

export function roles(people: readonly Person[]): readonly Finding[] {
  const many = people.filter((person) => person.roles.length > MANY_ROLES);
  return each(
    'roles',
    many.map(({ name, roles: has }) => finding('roles', 'warning', `${name} has ${has.length} roles: ${has.join(', ')}`)),
    `nobody has more than ${MANY_ROLES}`,
  );
}

export function sharedWorkstation(people: readonly Person[]): readonly Finding[] {
  const wrong = people.flatMap((one, at) =>
    people.slice(at + 1).flatMap((other) => {
      const station = one.workstations.some((digest) => other.workstations.includes(digest));
      const factor = one.authenticator !== undefined && one.authenticator.id === other.authenticator?.id;
      const what = [...(station ? ['a workstation'] : []), ...(factor ? ['an authenticator'] : [])];
      return what.length === 0
        ? []
        : [finding('shared_workstation', 'critical', `${one.name} and ${other.name} share ${what.join(' and ')}`)];
    }),
  );
  return each('shared_workstation', wrong, 'each has their own');
}

export function dormant(people: readonly Person[], now: Date): readonly Finding[] {
  const days = (date: Date) => Math.floor((now.getTime() - date.getTime()) / DAY_MS);
  const wrong = people.flatMap(({ name, since, lastSeen }) => {
    const quiet = days(lastSeen ?? since);
    return quiet < DORMANT_DAYS ? [] : [finding('dormant', 'warning', `${name}: nothing for ${quiet} days`)];
  });
  return each('dormant', wrong, `everyone was here within ${DORMANT_DAYS} days`);
}

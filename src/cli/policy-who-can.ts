/** `wv policy who-can`: every principal able to release or administer, and on what conditions. */
import type { ClassName } from '../domain/classes.ts';
import { CLASS_NAMES } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import { SYSTEM } from '../domain/ids.ts';
import { ADMIN_ACTIONS, type AdminAction } from '../policy/actions.ts';
import { assumptionsFor, beyondAssumptions } from '../policy/assume.ts';
import { type AdministrationReach, administrationReach, type ReleaseReach, releaseReaches } from '../policy/who-can.ts';
import { parseAttributes } from './files.ts';
import { aligned, print } from './output.ts';
import { count } from './policy-check.ts';
import { EVIDENCE_KINDS } from './policy-files.ts';
import {
  administratorsFor,
  claimsInWords,
  namespaceNamed,
  type PeopleOptions,
  type Person,
  policiesFor,
  requestersFor,
  timeNamed,
} from './policy-people.ts';

export interface WhoCanOptions extends PeopleOptions {
  readonly class?: ClassName;
  readonly attribute?: readonly string[];
  readonly at?: string;
  readonly json?: boolean;
}

/** These read and change nothing: who has no other action administers nothing. */
const READING: readonly string[] = ['readCatalogue', 'readLog'];

export async function whoCan(action: string | undefined, options: WhoCanOptions): Promise<void> {
  if (action === undefined) return matrix(options);
  if (action === 'release') return release(options);
  const known = ADMIN_ACTIONS.find((one) => one === action);
  if (known === undefined) throw new VaultError('usage', `the actions are release, ${ADMIN_ACTIONS.join(', ')}`);
  return administer(known, options);
}

async function release(options: WhoCanOptions): Promise<void> {
  const namespace = namespaceNamed(options.namespace);
  const now = timeNamed(options.at);
  const attributes = parseAttributes(options.attribute);
  const { policies, named } = await policiesFor(options, namespace);
  const requesters = await requestersFor(options);
  const assumptions = assumptionsFor([policies], EVIDENCE_KINDS);
  const classes = options.class === undefined ? CLASS_NAMES : [options.class];
  const found = classes.flatMap((name) => {
    const who = requesters.map((one) => ({ namespace, name: one.name, attributes: one.attributes }));
    const reaches = releaseReaches(who, { version: { namespace, class: name, attributes }, policies, assumptions, now });
    return requesters.map(({ name: requester, blocked }, at) => ({ requester, class: name, blocked, ...reachOf(reaches[at], blocked) }));
  });
  const rows = found
    .toSorted((a, b) => a.requester.localeCompare(b.requester))
    .map((one) => [one.requester, one.class, answerOf(one), one.determining.join(', ') || '-', one.otherwise.join('; ') || '-']);
  const able = (name: ClassName) => found.filter((one) => one.class === name && one.answer !== 'never').length;
  const verdict = `Of ${count(requesters.length, 'requester')} in ${namespace}, by class: ${classes.map((name) => `${name} ${able(name)}`).join(', ')}.`;
  const beyond = beyondAssumptions(policies);
  print(options, { namespace, action: 'release', at: now, policies: named, requesters: requesters.length, found, beyond }, [
    `Who can be released a version in ${namespace}, by ${named}, as of ${now.toISOString()}.`,
    '',
    ...aligned(['REQUESTER', 'CLASS', 'ANSWER', 'BECAUSE OF', 'OTHERWISE'], rows),
    '',
    ...beyondLines(beyond),
    verdict,
  ]);
}

/** An answer that cannot be complete says so. */
export function beyondLines(ids: readonly string[]): string[] {
  if (ids.length === 0) return [];
  return [
    `Not everything could be tried: ${ids.join(', ')} compare attributes with each other, not with a value. Test them with cases.`,
    '',
  ];
}

const NOTHING: ReleaseReach = { answer: 'never', enough: [], spoiledBy: [], determining: [], otherwise: [] };

function reachOf(reach: ReleaseReach | undefined, blocked: boolean): ReleaseReach {
  if (reach === undefined || blocked) return { ...NOTHING, otherwise: ['subject_blocked: it is blocked'] };
  return reach;
}

function answerOf({ answer, enough, spoiledBy }: ReleaseReach): string {
  if (answer !== 'if') return answer;
  return `if ${claimsInWords(enough)}${spoiledBy.length > 0 ? `, but not with ${claimsInWords(spoiledBy)}` : ''}`;
}

async function peopleReach(options: WhoCanOptions, actions: readonly AdminAction[]) {
  const now = timeNamed(options.at);
  const { policies, named } = await policiesFor(options, SYSTEM);
  const administrators = await administratorsFor(options);
  const namespaces = [namespaceNamed(options.namespace)];
  const found = administrators.map((person) => ({
    administrator: person.name,
    roles: person.roles,
    reach: administrationReach(person, policies, { namespaces, now, actions }),
  }));
  return { now, named, administrators, found };
}

async function matrix(options: WhoCanOptions): Promise<void> {
  const { now, named, administrators, found } = await peopleReach(options, ADMIN_ACTIONS);
  const rows = ADMIN_ACTIONS.map((action) => [action, ...found.map(({ reach }) => where(reach.find((one) => one.action === action)))]);
  const changing = found.filter(({ reach }) => reach.some((one) => !READING.includes(one.action) && isAble(one)));
  const verdict = `${changing.length} of ${count(administrators.length, 'administrator')} can change something${namesOf(changing)}.`;
  print(options, { at: now, policies: named, administrators: found }, [
    `What each administrator may do, by ${named}, as of ${now.toISOString()}. "yes" is in every namespace, "-" in none.`,
    '',
    ...aligned(['ACTION', ...administrators.map(heading)], rows),
    '',
    verdict,
  ]);
}

async function administer(action: AdminAction, options: WhoCanOptions): Promise<void> {
  const { now, named, administrators, found } = await peopleReach(options, [action]);
  const rows = found.map(({ administrator, roles, reach: [reach] }) => [
    administrator,
    roles.join(', ') || '-',
    where(reach),
    reach?.determining.join(', ') || '-',
    reach === undefined || (reach.elsewhere && reach.denied.length === 0) ? '-' : reach.otherwise.join('; ') || '-',
  ]);
  const able = found.filter(({ reach }) => reach.some(isAble));
  print(options, { at: now, action, policies: named, administrators: found }, [
    `Who may ${action}, by ${named}, as of ${now.toISOString()}.`,
    '',
    ...aligned(['ADMINISTRATOR', 'ROLES', 'WHERE', 'BECAUSE OF', 'OTHERWISE'], rows),
    '',
    `${able.length} of ${count(administrators.length, 'administrator')} may ${action}${namesOf(able)}.`,
  ]);
}

function heading({ name }: Person): string {
  return name;
}

function isAble({ elsewhere, permitted }: AdministrationReach): boolean {
  return elsewhere || permitted.length > 0;
}

function where(reach: AdministrationReach | undefined): string {
  if (reach === undefined || !isAble(reach)) return '-';
  if (!reach.elsewhere) return `only ${reach.permitted.join(', ')}`;
  return reach.denied.length === 0 ? 'yes' : `not ${reach.denied.join(', ')}`;
}

function namesOf(found: ReadonlyArray<{ readonly administrator: string }>): string {
  return found.length === 0 ? '' : `: ${found.map(({ administrator }) => administrator).join(', ')}`;
}

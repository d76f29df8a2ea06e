/** `wv policy show` and `wv policy diff`: the set in force, and what another one would change. */
import { sha256Hex } from '../domain/bytes.ts';
import { SYSTEM } from '../domain/ids.ts';
import { assumptionsFor, beyondAssumptions } from '../policy/assume.ts';
import { administrationChanges, type DecisionChange, policyChanges, releaseChanges } from '../policy/differ.ts';
import { effectOf, type Policies } from '../policy/policy-text.ts';
import { parseAttributes } from './files.ts';
import { type AdminOptions, type Kit, withKit } from './kit.ts';
import { aligned, print } from './output.ts';
import { count } from './policy-check.ts';
import { EVIDENCE_KINDS, readPolicies } from './policy-files.ts';
import { administratorsOf, claimsInWords, namespaceNamed, requestersOf, setInForce, timeNamed, versionKinds } from './policy-people.ts';
import { beyondLines } from './policy-who-can.ts';

export async function show(options: AdminOptions & { readonly text?: boolean }): Promise<void> {
  const { counter, digest, createdAt, policies, consents } = await withKit(options.kit, (kit) => setInForce(kit, options.namespace));
  const listed = Object.entries(policies).map(([id, text]) => ({ id, effect: effectOf(text), digest: sha256Hex(Buffer.from(text)), text }));
  const value = { namespace: options.namespace, counter, digest, createdAt, consents, policies: listed };
  if (counter === 0) return print(options, value, [`No policy set is in force in ${options.namespace}: nothing is permitted.`]);
  if (options.text === true) return print(options, value, [listed.map(({ text }) => text).join('\n\n')]);
  const rows = listed.map((one) => [one.id, one.effect, one.digest]);
  print(options, value, [
    `Policy set ${counter} of ${options.namespace}, of ${createdAt ?? 'an unknown time'}.`,
    `digest    ${digest ?? '-'}`,
    `consents  ${consents.join(', ') || 'none: it is of the ceremony'}`,
    '',
    ...aligned(['POLICY', 'EFFECT', 'SHA-256'], rows),
    '',
    `${count(rows.length, 'policy is', 'policies are')} in force.`,
  ]);
}

export interface DiffOptions extends AdminOptions {
  readonly attribute?: readonly string[];
  readonly at?: string;
}

export async function diff(files: readonly string[], options: DiffOptions): Promise<void> {
  const after = await readPolicies(files);
  await withKit(options.kit, async (kit) => {
    const { counter, policies: before } = await setInForce(kit, options.namespace);
    const changes = policyChanges(before, after);
    const { asked, decisions, beyond } = await decisionChanges(kit, before, after, options);
    const lines = [
      ...changes.added.map((id) => `added    ${id}`),
      ...changes.removed.map((id) => `removed  ${id}`),
      ...changes.changed.map((id) => `changed  ${id}`),
    ];
    print(options, { namespace: options.namespace, inForce: counter, ...changes, asked, decisions, beyond }, [
      `Against policy set ${counter} of ${options.namespace}:`,
      ...(lines.length === 0 ? ['no policy changes'] : lines),
      '',
      ...(decisions.length === 0 ? [] : [...table(decisions), '']),
      ...beyondLines(beyond),
      verdict(decisions, asked),
    ]);
  });
}

async function decisionChanges(kit: Kit, before: Policies, after: Policies, options: DiffOptions) {
  const now = timeNamed(options.at);
  const namespace = namespaceNamed(options.namespace);
  if (namespace === SYSTEM) {
    const administrators = (await administratorsOf(kit)).administrators.filter(({ state }) => state === 'active');
    const decisions = administrationChanges(administrators, before, after, { namespaces: [SYSTEM], now });
    return { asked: `every action of ${count(administrators.length, 'administrator')}`, decisions, beyond: [] };
  }
  const requesters = (await requestersOf(kit, namespace)).filter(({ blocked }) => !blocked).map((one) => ({ ...one, namespace }));
  const versions = (await versionKinds(kit, namespace, parseAttributes(options.attribute))).map((one) => ({ ...one, namespace }));
  const assumptions = assumptionsFor([before, after], EVIDENCE_KINDS);
  const decisions = releaseChanges(requesters, versions, { before, after, assumptions, now });
  const asked = `${count(requesters.length, 'requester')}, ${versions.length} kinds of version, ${assumptions.length} assumptions`;
  return { asked, decisions, beyond: [...new Set([before, after].flatMap(beyondAssumptions))] };
}

function table(decisions: readonly DecisionChange[]): string[] {
  const rows = decisions.map(({ who, what, from, to, when, because }) => [
    who,
    what,
    `${from} -> ${to}`,
    when.length === 0 ? '-' : claimsInWords(when),
    because.join(', ') || '-',
  ]);
  return aligned(['WHO', 'WHAT', 'DECISION', 'AT LEAST WITH', 'BECAUSE OF'], rows);
}

function verdict(decisions: readonly DecisionChange[], asked: string): string {
  if (decisions.length === 0) return `No decision changes (asked: ${asked}).`;
  const opened = decisions.filter(({ to }) => to === 'permit').length;
  return `${count(decisions.length, 'decision changes', 'decisions change')}: ${opened} to permit, ${decisions.length - opened} to deny (asked: ${asked}).`;
}

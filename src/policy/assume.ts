/**
 * Evidence that a requester might come with, and versions it might ask for, as assumptions to try: every combination of what the vault can
 * prove and what the policies ask for by name. Cedar's own partial evaluation is experimental and skips policies that fail; these ask the real evaluator.
 */
import { type PolicyJson, policyToJson } from '@cedar-policy/cedar-wasm/nodejs';
import { DELIVERIES, type Delivery } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import type { EvidenceKind } from '../domain/evidence.ts';
import { FACTS, type FactValue, type FixedKind } from '../domain/facts.ts';
import type { Digest, ModelId, VersionId } from '../domain/ids.ts';
import { RECORDS } from './evidence-attributes.ts';
import { comparisonOf, conditionsOf, entitiesOf, pathOf } from './expression.ts';
import type { Policies } from './policy-text.ts';
import { type SupposedEvidence, type SupposedVersion, TPM_QUOTE } from './suppose.ts';
import { supposePiece } from './suppose-pieces.ts';

export interface Assumption {
  /** What it takes for granted, in words: "fresh", "hardware", "matched golden-2026". */
  readonly claims: ReadonlySet<string>;
  readonly evidence: SupposedEvidence;
  readonly delivery: Delivery;
  /** What is assumed of the version besides its class. */
  readonly version: Partial<Pick<SupposedVersion, 'attributes' | 'modelId' | 'versionId' | 'versionDigest'>>;
}

/** More would take minutes for each requester. */
const MAX_ASSUMPTIONS = 5000;
const PROVED = ['fresh', 'keyBound', 'hardware', 'tee'] as const;
/** At least whatever a policy asks at least. */
const LARGE = 1_000_000;

/** One part of an assumption, and the words for it. */
interface Choice {
  readonly claims: readonly string[];
  readonly evidence?: Partial<SupposedEvidence>;
  readonly delivery?: Delivery;
  readonly version?: Assumption['version'];
}

/**
 * Reference values, facts and tags of the version are assumed absent, each alone, and all together; any other is as good as absent. Throws
 * `usage` when the policies name so many that trying them is no answer any more.
 */
export function assumptionsFor(sets: readonly Policies[], evidenceKinds: readonly EvidenceKind[]): Assumption[] {
  const named = namedIn(sets);
  const kinds: Choice[] = named('context.evidence.kinds').length === 0 ? [{ claims: [] }] : kindChoices(evidenceKinds);
  const matched = some(named('context.evidence.matched'), 'matched', (ids) => ({ evidence: { matched: ids } }));
  const facts = some(named('context.evidence.facts'), 'fact', (all) => ({ evidence: { facts: pairs(all) } }));
  const tags = some(named('resource.tags'), 'version tag', (all) => ({ version: { attributes: pairs(all) } }));
  const deliveries: Choice[] = DELIVERIES.map((delivery) => ({ claims: DELIVERIES.length > 1 ? [`delivery ${delivery}`] : [], delivery }));
  const parts = [
    pieceChoices(sets),
    ...PROVED.map(factChoices),
    kinds,
    matched,
    facts,
    deliveries,
    tags,
    ...versionChoices(sets, named('resource.versionDigest')),
  ];
  const count = parts.reduce((product, choices) => product * choices.length, 1);
  if (count > MAX_ASSUMPTIONS) throw new VaultError('usage', `the policies name too many reference values and facts: ${count} assumptions`);
  return parts
    .reduce<Choice[][]>((all, choices) => all.flatMap((one) => choices.map((choice) => [...one, choice])), [[]])
    .map(joined)
    .filter(({ evidence }) => evidence.hardware || !evidence.tee); // a TEE is hardware
}

function joined(choices: readonly Choice[]): Assumption {
  const claims = new Set(choices.flatMap((one) => one.claims));
  const evidence = Object.assign({}, TPM_QUOTE, ...choices.map((one) => one.evidence)) as SupposedEvidence; // TPM_QUOTE with members of its own type
  const version = Object.assign({}, ...choices.map((one) => one.version)) as Assumption['version']; // of members of its own type
  return { claims, evidence, delivery: choices.find((one) => one.delivery !== undefined)?.delivery ?? 'stream', version };
}

function factChoices(fact: (typeof PROVED)[number]): Choice[] {
  return [
    { claims: [], evidence: { [fact]: false } },
    { claims: [fact], evidence: { [fact]: true } },
  ];
}

function kindChoices(kinds: readonly EvidenceKind[]): Choice[] {
  const each = kinds.map((kind) => ({ claims: [`kind ${kind}`], evidence: { kinds: [kind] } }));
  return kinds.length < 2 ? each : [...each, { claims: kinds.map((kind) => `kind ${kind}`), evidence: { kinds } }];
}

/** Kinds whose records the policies read: none of them shown, or all, saying what the policies compare with and otherwise what a sound piece says. */
function pieceChoices(sets: readonly Policies[]): Choice[] {
  const paths = conditionsIn(sets).flatMap((one) => pathOf(one) ?? []);
  const asked = Object.entries(RECORDS).filter(([, record]) => paths.includes(`context.evidence.${record}`));
  if (asked.length === 0) return [{ claims: [] }];
  const said = namedIn(sets);
  const pieces = asked.map(([kind, record]) => {
    const table = FACTS[kind as FixedKind]; // a key of RECORDS
    const facts = Object.keys(table).flatMap((fact): Array<[string, FactValue]> => {
      const [text] = said(`context.evidence.${record}.${fact}`);
      if (table[fact]?.type === 'number') return [[fact, LARGE]];
      return text === undefined ? [] : [[fact, text]];
    });
    return supposePiece(kind as FixedKind, Object.fromEntries(facts)); // the same
  });
  return [{ claims: [] }, { claims: asked.map(([kind]) => `${kind} as the policies ask`), evidence: { pieces } }];
}

function some(named: readonly string[], word: string, assumed: (of: readonly string[]) => Omit<Choice, 'claims'>): Choice[] {
  const choice = (of: readonly string[]) => ({ claims: of.map((one) => `${word} ${one}`), ...assumed(of) });
  const together = [...new Map(named.map((one) => [one.split('=')[0], one])).values()]; // a fact has one value at a time
  return [choice([]), ...named.map((one) => choice([one])), ...(together.length > 1 ? [choice(together)] : [])];
}

function pairs(tags: readonly string[]): Record<string, string> {
  const whole = tags.filter((one) => one.indexOf('=') > 0); // anything else is no tag, and matches nothing
  return Object.fromEntries(whole.map((one) => [one.slice(0, one.indexOf('=')), one.slice(one.indexOf('=') + 1)]));
}

/** Models, versions and digests that policies name: none of them, or one. */
function versionChoices(sets: readonly Policies[], digests: readonly string[]): Choice[][] {
  const entities = parsedIn(sets).flatMap(entitiesOf);
  const named = (type: string) => [...new Set(entities.filter((one) => one.type === `WeightVault::${type}`).map(({ id }) => id))].sort();
  const local = (id: string) => id.slice(id.indexOf('/') + 1);
  const oneOf = (word: string, ids: readonly string[], version: (id: string) => Assumption['version']): Choice[] => [
    { claims: [] },
    ...ids.map((id) => ({ claims: [`${word} ${id}`], version: version(id) })),
  ];
  return [
    // As policies write them: ids that are none match nothing.
    oneOf('model', named('Model'), (id) => ({ modelId: local(id) as ModelId })),
    oneOf('version', named('ModelVersion'), (id) => ({ versionId: local(id) as VersionId })),
    oneOf('digest', digests, (digest) => ({ versionDigest: digest as Digest })),
  ];
}

/** The literals that policies compare an attribute with. */
function namedIn(sets: readonly Policies[]): (path: string) => string[] {
  const comparisons = conditionsIn(sets).flatMap((one) => comparisonOf(one) ?? []);
  return (path) => [...new Set(comparisons.filter((one) => one.path === path).flatMap((one) => one.strings))].sort();
}

/** False when two requesters with the same attributes cannot be told apart by these policies: then one of them stands for all. */
export function namesMatter(policies: Policies): boolean {
  const parsed = Object.values(policies).map((text) => policyToJson(text));
  const anyone = ({ op, ...more }: PolicyJson['principal']) => op === 'All' || (op === 'is' && !('in' in more));
  if (parsed.some((one) => one.type === 'success' && !anyone(one.json.principal))) return true;
  const paths = conditionsIn([policies]).flatMap((one) => pathOf(one) ?? []);
  const whole = paths.filter((path) => path === 'principal').length;
  const attributes = paths.filter((path) => path === 'principal.tags' || path === 'principal.namespace').length;
  return whole !== attributes;
}

/** Attributes that are tried by the literals they are compared with. */
const BY_LITERAL = [
  'context.evidence.kinds',
  'context.evidence.matched',
  'context.evidence.facts',
  'resource.tags',
  'resource.versionDigest',
];

/** Ids of the policies that ask for something no literal says, such as tags that two sides share: assumptions cannot stand for all of it. */
export function beyondAssumptions(policies: Policies): string[] {
  return Object.keys(policies).filter((id) => {
    const conditions = conditionsIn([{ [id]: policies[id] ?? '' }]);
    const paths = conditions.flatMap((one) => pathOf(one) ?? []);
    const compared = conditions.flatMap((one) => comparisonOf(one)?.path ?? []);
    const times = (all: readonly string[], path: string) => all.filter((one) => one === path).length;
    const parts = paths.filter((path) => path.startsWith('context.evidence.')).length;
    return times(paths, 'context.evidence') !== parts || BY_LITERAL.some((path) => times(paths, path) !== times(compared, path));
  });
}

function conditionsIn(sets: readonly Policies[]) {
  return parsedIn(sets).flatMap(conditionsOf);
}

function parsedIn(sets: readonly Policies[]): PolicyJson[] {
  return sets.flatMap((policies) =>
    Object.values(policies).flatMap((text) => {
      const parsed = policyToJson(text);
      return parsed.type === 'success' ? [parsed.json] : [];
    }),
  );
}

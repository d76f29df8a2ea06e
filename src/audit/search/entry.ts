/** What of a leaf can be searched for. */
import { hash } from 'node:crypto';
import type { LeafRow } from '../port.ts';
import { numberAt, objectAt, saidBy, textAt, textsAt } from '../said.ts';
import type { SearchEntry, SearchTerm } from './port.ts';

/** Fields of a query. `principal` is a requester or an administrator; `measurement` a reference value that matched, or a digest that was measured. */
export const SEARCH_FIELDS = [
  'principal',
  'key',
  'model',
  'version',
  'namespace',
  'type',
  'outcome',
  'reason',
  'measurement',
  'release',
  'request',
] as const;
export type SearchField = (typeof SEARCH_FIELDS)[number];

export type Said = ReadonlyMap<SearchField, readonly string[]>;

/** Facts that are digests or measurements: SHA-1 and longer. Counters and versions are none. */
const MEASURED = /^[0-9a-f]{40,}$/;
const MAX_MEASUREMENTS = 64;

/** Of what many leaves say; it begins anew when it is full. */
const known = new Map<string, SearchTerm>();
const KNOWN_MOST = 20_000;
/** Of these nearly every leaf has another. */
const ONCE: ReadonlySet<SearchField> = new Set<SearchField>(['release', 'request']);

export function searchTerm(field: SearchField, value: string): SearchTerm {
  const name = `${field}\0${value}`;
  const found = known.get(name);
  if (found !== undefined) return found;
  const term = Number.parseInt(hash('sha256', name).slice(0, 13), 16); // the first 52 bits: a safe integer
  if (ONCE.has(field)) return term;
  if (known.size >= KNOWN_MOST) known.clear();
  known.set(name, term);
  return term;
}

/** A leaf that is no JSON object is counted, and found by nothing. */
export function searchEntry({ index, leaf }: Pick<LeafRow, 'index' | 'leaf'>): SearchEntry {
  const said = saidBy(leaf);
  const fields = saidFields(said);
  const timeMs = Date.parse(textAt(said, 'time') ?? '');
  const terms = [...fields].flatMap(([field, values]) => values.map((value) => searchTerm(field, value)));
  return {
    index,
    timeMs: Number.isSafeInteger(timeMs) ? timeMs : 0,
    bytes: Math.max(0, numberAt(said, 'release', 'bytes') ?? 0),
    terms: [...new Set(terms)],
    tally: {
      day: new Date(Number.isSafeInteger(timeMs) ? timeMs : 0).toISOString().slice(0, 10),
      namespace: textAt(said, 'namespace') ?? '',
      type: textAt(said, 'type') ?? '',
      outcome: textAt(said, 'outcome') ?? '',
      reason: textAt(said, 'reason') ?? '',
    },
  };
}

/** The searchable fields of a leaf, by name. */
export function saidFields(said: unknown): Said {
  const one = (...path: readonly string[]) => {
    const value = textAt(said, ...path);
    return value === undefined ? [] : [value];
  };
  const facts = Object.values(objectAt(said, 'attestation', 'facts') ?? {}).filter(
    (fact) => typeof fact === 'string' && MEASURED.test(fact),
  );
  const measurements = [
    ...textsAt(said, 'attestation', 'matched'),
    ...one('attestation', 'evidenceDigest'),
    ...one('attestation', 'referenceValuesDigest'),
    ...one('evidenceDigest'),
    ...one('resultDigest'),
    ...(facts as string[]), // just looked at
  ].slice(0, MAX_MEASUREMENTS);
  return new Map<SearchField, readonly string[]>([
    ['principal', [...one('actor', 'subjectId'), ...one('actor', 'administratorId'), ...one('release', 'subjectId')]],
    ['key', [...one('actor', 'spkiDigest'), ...one('actor', 'workstation')]],
    ['model', one('object', 'modelId')],
    ['version', one('object', 'versionId')],
    ['namespace', one('namespace')],
    ['type', one('type')],
    ['outcome', one('outcome')],
    ['reason', one('reason')],
    ['measurement', measurements],
    ['release', one('release', 'releaseId')],
    ['request', [...one('request', 'requestId'), ...one('operation', 'requestId')]],
  ]);
}

/**
 * Reference values, arranged so that finding the ones a machine may match costs the same for ten as for ten thousand. Each value is filed
 * under the one part it names that tells it apart from most others; only values found there are compared in full.
 */
import type { JwtReferenceValue, ReferenceValue, VerifiedClaims } from '../domain/evidence.ts';
import { FACTS, factText } from '../domain/facts.ts';

/** SHA-1 collisions can be made, so a value in that bank says nothing about the state it names. */
const BANKS_THAT_COUNT: readonly string[] = ['sha256', 'sha384'];

/** One part that a value names, and what it may be. `part` is as a person finds it: "sha256:7", or the name of a fact. */
export interface Wanted {
  readonly part: string;
  readonly accepted: readonly string[];
  /** The value does not say it: most values would be filed under the same. */
  readonly implied?: true;
  /** Evidence that does not state it is not refused for it. */
  readonly ifStated?: true | undefined;
}

export interface Entry {
  readonly value: ReferenceValue;
  readonly wanted: readonly Wanted[];
  readonly atLeast: ReadonlyArray<readonly [part: string, least: number]>;
  /** A value that names nothing matches nothing. */
  readonly namesAny: boolean;
  /** Milliseconds since 1970; NaN for a date that cannot be read, which counts as past. */
  readonly expiresMs: number;
}

export interface Source {
  readonly entries: readonly Entry[];
  /** Those that can match anything, the one that lasts longest first: what is past its date stands together at the end. */
  readonly byExpiry: readonly Entry[];
  /** By part, then by the text there. */
  readonly filed: ReadonlyMap<string, ReadonlyMap<string, readonly Entry[]>>;
}

/** By list: documents are immutable and read once, so a list is arranged once per process and forgotten with the document. */
const indexes = new WeakMap<readonly ReferenceValue[], ReadonlyMap<string, Source>>();

/** The values that can be about such claims: of their kind, or of the token's issuer. */
export function sourceOf(values: readonly ReferenceValue[], claims: VerifiedClaims): Source | undefined {
  const index = indexes.get(values) ?? arrange(values);
  indexes.set(values, index);
  return index.get(claims.kind === 'jwt' ? `jwt ${claims.attester.issuer}` : claims.kind);
}

/** What the claims say of a part; undefined when they say nothing, and for a bank that does not count. */
export function statedBy(claims: VerifiedClaims): (part: string) => string | undefined {
  const { facts } = claims;
  return (part) => {
    if (claims.kind === 'tpm2' && part.includes(':')) return pcrOf(claims.pcrs, part);
    const value = Object.hasOwn(facts, part) ? facts[part] : undefined;
    return value === undefined ? undefined : factText(value);
  };
}

function pcrOf(pcrs: Readonly<Record<string, Readonly<Record<string, string>>>>, part: string): string | undefined {
  const [bank = '', index = ''] = part.split(':');
  return BANKS_THAT_COUNT.includes(bank) ? pcrs[bank]?.[index] : undefined;
}

function arrange(values: readonly ReferenceValue[]): ReadonlyMap<string, Source> {
  const bySource = Map.groupBy(values.map(entryOf), ({ value }) => (value.kind === 'jwt' ? `jwt ${value.issuer}` : value.kind));
  return new Map([...bySource].map(([source, entries]) => [source, { entries, byExpiry: lastingFirst(entries), filed: file(entries) }]));
}

function lastingFirst(entries: readonly Entry[]): readonly Entry[] {
  const until = ({ expiresMs }: Entry) => (Number.isNaN(expiresMs) ? Number.NEGATIVE_INFINITY : expiresMs);
  return entries.filter(({ namesAny }) => namesAny).toSorted((a, b) => Math.sign(until(b) - until(a)) || 0); // equal infinities differ by NaN
}

function entryOf(value: ReferenceValue): Entry {
  const pcrs = value.kind === 'tpm2' ? namedPcrs(value.pcrs) : [];
  const named = [...pcrs, ...namedClaims(value.claims ?? {})];
  return {
    value,
    wanted: value.kind === 'jwt' ? named : [...named, ...implied(value)],
    atLeast: value.kind === 'jwt' ? [] : Object.entries(value.atLeast ?? {}),
    namesAny: value.kind === 'tpm2' ? pcrs.length > 0 || named.some(({ part }) => FACTS.tpm2[part]?.measures) : named.length > 0,
    expiresMs: value.expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(value.expires),
  };
}

function namedPcrs(pcrs: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>): readonly Wanted[] {
  return Object.entries(pcrs).flatMap(([bank, wanted]) =>
    Object.entries(wanted).map(([index, accepted]) => ({ part: `${bank}:${index}`, accepted })),
  );
}

function namedClaims(claims: Readonly<Record<string, readonly string[]>>): readonly Wanted[] {
  return Object.entries(claims).map(([part, accepted]) => ({ part, accepted }));
}

/** What a value means that it does not say: no debug mode, firmware that is up to date. */
function implied({ kind, claims = {}, atLeast }: Exclude<ReferenceValue, JwtReferenceValue>): readonly Wanted[] {
  return Object.entries(FACTS[kind]).flatMap(([part, { unlessNamed, optional }]) =>
    unlessNamed === undefined || Object.hasOwn(claims, part) || Object.hasOwn(atLeast ?? {}, part)
      ? []
      : [{ part, accepted: unlessNamed, implied: true as const, ifStated: optional }],
  );
}

function file(entries: readonly Entry[]): Source['filed'] {
  const texts = new Map<string, Set<string>>();
  for (const { part, accepted } of entries.flatMap(({ wanted }) => wanted)) {
    const seen = texts.get(part) ?? new Set();
    texts.set(part, seen);
    for (const text of accepted) seen.add(text);
  }
  const filed = new Map<string, Map<string, Entry[]>>();
  for (const entry of entries) {
    const named = entry.wanted.filter(({ implied }) => !implied);
    const [best] = named.toSorted((a, b) => (texts.get(b.part)?.size ?? 0) - (texts.get(a.part)?.size ?? 0));
    if (best === undefined) continue;
    const drawer = filed.get(best.part) ?? new Map<string, Entry[]>();
    filed.set(best.part, drawer);
    for (const text of new Set(best.accepted)) {
      const same = drawer.get(text);
      if (same === undefined) drawer.set(text, [entry]);
      else same.push(entry);
    }
  }
  return filed;
}

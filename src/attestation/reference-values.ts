/** Does a machine stand in a state that someone accepted? Exact comparison with reference values; nothing is close enough. */
import { attesterOf, type FailedClaim, type ReferenceValue, type Refusal, refuse, type VerifiedClaims } from '../domain/evidence.ts';
import { type Entry, type Source, sourceOf, statedBy, type Wanted } from './reference-index.ts';

/** A reference value that matched, and the models it is good for; absent: all of the namespace. */
export interface MatchedValue {
  readonly id: string;
  readonly models?: readonly string[] | undefined;
}

/** Values that the closest one is looked for among, when none matches: an answer to a stranger must not cost more with more values. */
const COMPARED_FOR_REASON = 200;
/** Accepted values that a refusal repeats of one part. */
const EXPECTED_SHOWN = 5;

interface Compared {
  readonly id: string;
  readonly failed: readonly FailedClaim[];
}

/** The reference values the claims match, at least one; or `reference_values_missing`, `measurement_mismatch` or `tcb_unacceptable`, with what was expected and seen. */
export function matchReferenceValues(
  claims: VerifiedClaims,
  values: readonly ReferenceValue[],
  now: Date,
): readonly MatchedValue[] | Refusal {
  const subject = attesterOf(claims);
  const known = subject && { subject };
  const source = sourceOf(values, claims);
  if (source === undefined) {
    const whose = claims.kind === 'jwt' ? 'jwt of this issuer' : claims.kind;
    return refuse('reference_values_missing', `no reference value for ${whose} is in force`, known);
  }
  const stated = statedBy(claims);
  const candidates = found(source, stated).filter((entry) => isUsable(entry, now));
  const matched = candidates.filter((entry) => failedOf(entry, stated).length === 0);
  if (matched.length > 0)
    return inOrder(source, matched).map(({ value }) => ({ id: value.id, ...(value.models && { models: value.models }) }));
  return { ...mismatch(claims, source, candidates, now), ...known };
}

function found({ filed }: Source, stated: (part: string) => string | undefined): readonly Entry[] {
  return [...filed].flatMap(([part, drawer]) => {
    const text = stated(part);
    return text === undefined ? [] : (drawer.get(text) ?? []);
  });
}

function isUsable({ namesAny, expiresMs }: Entry, now: Date): boolean {
  return namesAny && expiresMs > now.getTime();
}

/** What the value names that is not so. */
function failedOf({ wanted, atLeast }: Entry, stated: (part: string) => string | undefined): readonly FailedClaim[] {
  const seen = (part: string) => {
    const text = stated(part);
    return text === undefined ? {} : { seen: text };
  };
  const holds = ({ part, accepted, ifStated }: Wanted) => {
    const text = stated(part);
    return text === undefined ? ifStated === true : accepted.includes(text);
  };
  const other = wanted.filter((one) => !holds(one));
  const below = atLeast.filter(([part, least]) => !isAtLeast(stated(part), least));
  return [
    ...other.map(({ part, accepted }) => ({ claim: part, expected: accepted.slice(0, EXPECTED_SHOWN), ...seen(part) })),
    ...below.map(([part, least]) => ({ claim: part, expected: [`at least ${least}`], ...seen(part) })),
  ];
}

/** A number that is not there is not at least anything. */
function isAtLeast(stated: string | undefined, least: number): boolean {
  return stated !== undefined && /^\d+$/.test(stated) && Number(stated) >= least;
}

/** As the list has them: an entry filed under several texts is found once. */
function inOrder({ entries }: Source, matched: readonly Entry[]): readonly Entry[] {
  if (matched.length === 1) return matched;
  const wanted = new Set(matched);
  return entries.filter((entry) => wanted.has(entry));
}

/** For the person who has to find out what changed on a machine. */
function mismatch(claims: VerifiedClaims, source: Source, candidates: readonly Entry[], now: Date): Refusal {
  const part = claims.kind === 'tpm2' ? 'PCR' : claims.kind === 'jwt' ? 'claim' : 'fact';
  const near = (candidates.length > 0 ? candidates : source.byExpiry).slice(0, COMPARED_FOR_REASON).filter((entry) => isUsable(entry, now));
  if (near.length === 0) return refuse('measurement_mismatch', `every reference value has expired or names no ${part}`);
  const stated = statedBy(claims);
  const compared = near.map((entry): Compared => ({ id: entry.value.id, failed: failedOf(entry, stated) }));
  const [closest] = compared.toSorted((a, b) => a.failed.length - b.failed.length);
  const failed = closest?.failed ?? [];
  const detail = `the closest reference value, ${closest?.id}, differs in ${part} ${failed.map(({ claim }) => claim).join(', ')}`;
  const onlyTcb = failed.length > 0 && failed.every(({ claim }) => claim === 'tcbStatus' || claim === 'teeTcbStatus');
  return { ...refuse(onlyTcb ? 'tcb_unacceptable' : 'measurement_mismatch', detail), failed };
}

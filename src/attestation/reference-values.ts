/** Does a machine stand in a state that someone accepted? Exact comparison with reference values; nothing is close enough. */
import {
  type JwtReferenceValue,
  type PcrBanks,
  type ReferenceValue,
  type Refusal,
  refuse,
  type Tpm2ReferenceValue,
  type VerifiedClaims,
  type VerifiedJwt,
} from '../domain/evidence.ts';

/** SHA-1 collisions can be made, so a value in that bank says nothing about the state it names. */
const BANKS_THAT_COUNT: readonly string[] = ['sha256', 'sha384'];

/** One reference value held against the claims: what it names that is not so, in words for whoever has to find out. */
interface Compared {
  readonly id: string;
  readonly expires?: string | undefined;
  /** A value that names nothing matches nothing. */
  readonly namesAny: boolean;
  readonly wrong: readonly string[];
}

/** Ids of the reference values the claims match, at least one; or `reference_values_missing` or `measurement_mismatch`. */
export function matchReferenceValues(claims: VerifiedClaims, values: readonly ReferenceValue[], now: Date): readonly string[] | Refusal {
  const known = { subject: claims.attester };
  const compared = values.flatMap((value) => compare(value, claims) ?? []);
  if (compared.length === 0) return refuse('reference_values_missing', `no reference value for ${sourceOf(claims)} is in force`, known);
  const usable = compared.filter((one) => one.namesAny && !isExpired(one.expires, now));
  const part = claims.kind === 'jwt' ? 'claim' : 'PCR';
  if (usable.length === 0) return refuse('measurement_mismatch', `every reference value has expired or names no ${part}`, known);
  const matched = usable.filter(({ wrong }) => wrong.length === 0).map(({ id }) => id);
  return matched.length > 0 ? matched : refuse('measurement_mismatch', describeClosest(usable, part), known);
}

function sourceOf(claims: VerifiedClaims): string {
  return claims.kind === 'jwt' ? 'jwt of this issuer' : claims.kind;
}

/** Undefined when the value is about something else: another kind, or another issuer's tokens. */
function compare(value: ReferenceValue, claims: VerifiedClaims): Compared | undefined {
  if (value.kind === 'tpm2' && claims.kind === 'tpm2') return comparePcrs(value, claims.pcrs);
  if (value.kind === 'jwt' && claims.kind === 'jwt' && value.issuer === claims.attester.issuer) return compareClaims(value, claims);
  return undefined;
}

/** PCRs of the value that are not in the quote with one of the listed values, as "sha256:7". */
function comparePcrs({ id, expires, pcrs }: Tpm2ReferenceValue, quoted: PcrBanks): Compared {
  const named = Object.entries(pcrs).flatMap(([bank, wanted]) =>
    Object.entries(wanted).map(([index, accepted]) => ({ bank, index, accepted })),
  );
  const wrong = named.filter(({ bank, index, accepted }) => !isAccepted(bank, quoted[bank]?.[index], accepted));
  return { id, expires, namesAny: named.length > 0, wrong: wrong.map(({ bank, index }) => `${bank}:${index}`) };
}

function compareClaims({ id, expires, claims }: JwtReferenceValue, { facts }: VerifiedJwt): Compared {
  const named = Object.entries(claims);
  const present = (name: string) => (Object.hasOwn(facts, name) ? facts[name] : undefined);
  const wrong = named.filter(([name, accepted]) => !accepted.some((one) => one === present(name))).map(([name]) => name);
  return { id, expires, namesAny: named.length > 0, wrong };
}

function isAccepted(bank: string, quoted: string | undefined, accepted: readonly string[]): boolean {
  return BANKS_THAT_COUNT.includes(bank) && quoted !== undefined && accepted.includes(quoted);
}

/** A date that cannot be read counts as past. */
function isExpired(expires: string | undefined, now: Date): boolean {
  return expires !== undefined && !(Date.parse(expires) > now.getTime());
}

/** For the person who has to find out what changed on a machine: which parts to look at. Values are not repeated. */
function describeClosest(compared: readonly Compared[], part: string): string {
  const [closest] = compared.toSorted((a, b) => a.wrong.length - b.wrong.length);
  return `the closest reference value, ${closest?.id}, differs in ${part} ${closest?.wrong.join(', ')}`;
}

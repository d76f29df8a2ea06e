/** Does a machine stand in a state that someone accepted? Exact comparison with reference values; nothing is close enough. */
import { type PcrBanks, type ReferenceValue, type Refusal, refuse, type VerifiedClaims } from '../domain/evidence.ts';

/** SHA-1 collisions can be made, so a value in that bank says nothing about the state it names. */
const BANKS_THAT_COUNT: readonly string[] = ['sha256', 'sha384'];

/** Ids of the reference values the claims match, at least one; or `reference_values_missing` or `measurement_mismatch`. */
export function matchReferenceValues(claims: VerifiedClaims, values: readonly ReferenceValue[], now: Date): readonly string[] | Refusal {
  const known = { subject: claims.attester };
  const ofKind = values.filter((value) => value.kind === claims.kind);
  if (ofKind.length === 0) return refuse('reference_values_missing', `no reference value for ${claims.kind} is in force`, known);
  const usable = ofKind.filter((value) => namesPcr(value) && !isExpired(value, now));
  if (usable.length === 0) return refuse('measurement_mismatch', 'every reference value has expired or names no PCR', known);
  const compared = usable.map((value) => ({ id: value.id, wrong: mismatches(value, claims.pcrs) }));
  const matched = compared.filter(({ wrong }) => wrong.length === 0).map(({ id }) => id);
  return matched.length > 0 ? matched : refuse('measurement_mismatch', describeClosest(compared), known);
}

/** PCRs of `value` that are not in the quote with one of the listed values, as "sha256:7". */
function mismatches(value: ReferenceValue, quoted: PcrBanks): string[] {
  return Object.entries(value.pcrs).flatMap(([bank, pcrs]) =>
    Object.entries(pcrs)
      .filter(([index, accepted]) => !isAccepted(bank, quoted[bank]?.[index], accepted))
      .map(([index]) => `${bank}:${index}`),
  );
}

function isAccepted(bank: string, quoted: string | undefined, accepted: readonly string[]): boolean {
  return BANKS_THAT_COUNT.includes(bank) && quoted !== undefined && accepted.includes(quoted);
}

function namesPcr(value: ReferenceValue): boolean {
  return Object.values(value.pcrs).some((pcrs) => Object.keys(pcrs).length > 0);
}

/** A date that cannot be read counts as past. */
function isExpired(value: ReferenceValue, now: Date): boolean {
  return value.expires !== undefined && !(Date.parse(value.expires) > now.getTime());
}

/** For the person who has to find out what changed on a machine: which PCRs to look at. Values are not repeated. */
function describeClosest(compared: readonly { id: string; wrong: readonly string[] }[]): string {
  const [closest] = compared.toSorted((a, b) => a.wrong.length - b.wrong.length);
  return `the closest reference value, ${closest?.id}, differs in PCR ${closest?.wrong.join(', ')}`;
}

/** What stands in a token whose signature was verified: when it is good, who it is about, what it says under our names. */
import { DEFAULTS } from '../../domain/classes.ts';
import { type ClaimPath, type JwtAnchor, type Refusal, refuse } from '../../domain/evidence.ts';
import type { JsonObject } from '../strict-json.ts';

const MAX_FACT_CHARS = 256;
/** 9999-12-31T23:59:59Z: what ISO 8601 can write. */
const LAST_SECOND = 253_402_300_799;

/** Own members only, so that no path leads to what every object has. Undefined when it is not there. */
export function claimAt(claims: JsonObject, path: ClaimPath): unknown {
  let at: unknown = claims;
  for (const name of path) {
    if (typeof at !== 'object' || at === null || Array.isArray(at) || !Object.hasOwn(at, name)) return undefined;
    at = (at as JsonObject)[name]; // an object, just looked at
  }
  return at;
}

/** Text that a person can compare: well-formed, in its normal form, not empty, without control characters. */
export function plainText(value: unknown, maxChars = MAX_FACT_CHARS): string | undefined {
  if (typeof value !== 'string' || value === '' || value.length > maxChars) return undefined;
  return value.isWellFormed() && value === value.normalize('NFC') && !/\p{Cc}/u.test(value) ? value : undefined;
}

/** What a record says of a claim that should be a text or a list of them: nothing of one that is anything else. */
export function seenText(value: unknown): string | undefined {
  const texts = (Array.isArray(value) ? (value as unknown[]) : [value]).filter((one) => typeof one === 'string');
  return plainText(texts.join(','), 512);
}

/** The times of the token by the database's clock (RFC 7519 section 4.1). Resolves to when it ends, or to why it does not count. */
export function endOf(claims: JsonObject, { maxAgeSeconds }: Pick<JwtAnchor, 'maxAgeSeconds'>, now: Date): Date | Refusal {
  const { exp, nbf, iat } = Object.fromEntries(['exp', 'nbf', 'iat'].map((name) => [name, claimAt(claims, [name])]));
  if (!isTime(exp)) return refuse('evidence_malformed', 'the token does not say when it expires (exp)');
  if ((nbf !== undefined && !isTime(nbf)) || (iat !== undefined && !isTime(iat)))
    return refuse('evidence_malformed', 'nbf or iat is no time');
  if (maxAgeSeconds !== undefined && iat === undefined)
    return refuse('evidence_malformed', 'the token does not say when it was issued (iat)');
  const seconds = now.getTime() / 1000;
  const skew = DEFAULTS.tokenSkewSeconds;
  const late = (detail: string, claim: string, expected: string, seen: number) =>
    refuse('evidence_expired', detail, { failed: [{ claim, expected: [`${expected} ${now.toISOString()}`], seen: isoTime(seen) }] });
  if (seconds >= exp + skew) return late('the token has expired', 'exp', 'after', exp);
  if (nbf !== undefined && seconds < nbf - skew) return late('the token is not valid yet (nbf)', 'nbf', 'not after', nbf);
  if (iat !== undefined && seconds < iat - skew) return late('the token was issued in the future (iat)', 'iat', 'not after', iat);
  if (maxAgeSeconds !== undefined && iat !== undefined && seconds >= iat + maxAgeSeconds + skew) {
    return late(`the token is older than ${maxAgeSeconds} s`, 'iat', `at most ${maxAgeSeconds} s before`, iat);
  }
  return new Date((exp + skew) * 1000);
}

/** Undefined when the token is for this audience. */
export function checkAudience(claims: JsonObject, { audience }: Pick<JwtAnchor, 'audience'>): Refusal | undefined {
  if (audience === undefined) return undefined;
  const aud = claimAt(claims, ['aud']);
  if (aud === audience || (Array.isArray(aud) && aud.includes(audience))) return undefined;
  const seen = seenText(aud);
  const failed = [{ claim: 'aud', expected: [audience], ...(seen !== undefined && { seen }) }];
  return refuse('evidence_binding_mismatch', 'the token is for another audience', { failed });
}

/** The claims the anchor maps, as text. What is missing is no fact; what cannot be one refuses the token: a policy may forbid by it. */
export function factsOf(claims: JsonObject, { claims: map }: Pick<JwtAnchor, 'claims'>): Readonly<Record<string, string>> | Refusal {
  const facts: [string, string][] = [];
  for (const [name, path] of Object.entries(map)) {
    const value = claimAt(claims, path);
    if (value === undefined || value === null) continue;
    const fact = factOf(value);
    if (fact === undefined) {
      return refuse('evidence_malformed', `the claim ${name} is no plain text of at most ${MAX_FACT_CHARS} characters, number or boolean`);
    }
    facts.push([name, fact]);
  }
  return Object.fromEntries(facts);
}

function factOf(value: unknown): string | undefined {
  if (typeof value === 'boolean') return String(value);
  // A larger integer was rounded when it was parsed: another token could give the same text.
  if (typeof value === 'number')
    return Number.isSafeInteger(value) || (Number.isFinite(value) && !Number.isInteger(value)) ? String(value) : undefined;
  return plainText(value);
}

function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= LAST_SECOND;
}

/**
 * Examination of a verifier's token by itself (docs/evidence-check.md): who signed it, whether it counts at that time, and whether what it says is
 * acceptable. Every finding is reported. The vault itself decides in verifier.ts, by its trust anchors and a challenge of its own.
 */
import type { KeyObject } from 'node:crypto';
import { compactVerify, errors } from 'jose';
import { sha256Hex } from '../../domain/bytes.ts';
import { JWS_ALGORITHM_NAMES, type JwsAlgorithm } from '../../domain/jwk.ts';
import type { ClaimValue, Examination, ExaminationInputs } from '../examination.ts';
import type { JsonObject } from '../strict-json.ts';
import { isoSeconds } from '../x509/validity.ts';
import { ACCEPTANCE_WORDS, type AcceptanceWord, acceptanceProblems } from './acceptance.ts';
import { type CompactToken, readCompact } from './compact.ts';
import { readDetached } from './detached-eat.ts';
import { takes } from './keys.ts';
import { isProductionIssuer, readProduct } from './products.ts';
import { type KeyProblem, type TrustedKey, trustedKey } from './trusted-key.ts';

export type TokenReason =
  | 'algorithm_not_allowed'
  | 'signature_invalid'
  | 'no_exp'
  | 'token_expired'
  | 'token_not_yet_valid'
  | 'token_issued_in_future'
  | 'nonce_mismatch'
  | 'audience_mismatch'
  | 'submod_digest_mismatch'
  | KeyProblem
  | AcceptanceWord;

/** 9999-12-31T23:59:59Z. */
const LAST_SECOND = 253_402_300_799;
/** Members that change how the rest is read (RFC 7515 section 4.1.11, RFC 7797). */
const CRITICAL = ['crit', 'b64'];

/** One token, or NRAS's detached EAT: a token about several, whose digests it holds. */
export async function examineToken(inputs: ExaminationInputs): Promise<Examination<TokenReason>> {
  const detached = readDetached(inputs.evidence);
  if (detached === undefined) return examineOne(inputs);
  const overall = await examineOne({ ...inputs, evidence: detached.overall });
  const reasons = new Set(overall.reasons);
  const parts: Record<string, ClaimValue> = {};
  for (const [name, token] of detached.parts) {
    const part = await examineOne({ ...inputs, evidence: token });
    for (const reason of part.reasons) reasons.add(reason);
    if (part.claims['nonce'] !== overall.claims['nonce']) reasons.add('nonce_mismatch');
    parts[name] = part.claims;
  }
  if (!coversExactly(overall.claims['submod_digests'], detached.parts)) reasons.add('submod_digest_mismatch');
  return conclude([...reasons], { ...overall.claims, submods: parts });
}

async function examineOne(inputs: ExaminationInputs): Promise<Examination<TokenReason>> {
  const token = readCompact(inputs.evidence);
  if (token === undefined) return conclude(['malformed'], {});
  const { header = {}, claims = {} } = token;
  const reasons: TokenReason[] = [];
  if (!token.wellFormed || CRITICAL.some((name) => Object.hasOwn(header, name))) reasons.push('malformed');
  const alg = allowedAlgorithm(header['alg']);
  if (alg === undefined) reasons.push('algorithm_not_allowed');
  const trusted = trustedKey(header, claims, alg, inputs);
  reasons.push(...trusted.problems, ...(await signatureProblems(token, trusted, alg)));
  const product = readProduct(claims);
  const times = readTimes(claims, inputs.now);
  reasons.push(...times.problems, ...asked(claims, product, inputs.parameters));
  if (token.claims !== undefined) reasons.push(...acceptanceProblems(claims, product));
  return conclude(reasons, { ...headerClaims(header, claims), key_source: trusted.source, ...times.claims, ...product });
}

function conclude(found: readonly TokenReason[], claims: Readonly<Record<string, ClaimValue>>): Examination<TokenReason> {
  const reasons = [...new Set(found)];
  const valid = reasons.every((reason) => ACCEPTANCE_WORDS.some((word) => word === reason));
  return { valid, accept: valid && reasons.length === 0, reasons, claims };
}

/** Signatures of RSA and ECDSA: neither `none` nor an HMAC, whose key would be the public one. */
function allowedAlgorithm(alg: unknown): JwsAlgorithm | undefined {
  return JWS_ALGORITHM_NAMES.find((name) => name === alg && /^(?:RS|PS|ES)\d{3}$/.test(name));
}

/** A key is for one algorithm: what RFC 7518 ties it to by its type, and what its own JWK says. */
async function signatureProblems(
  token: CompactToken,
  { source, key, keyAlg }: TrustedKey,
  alg: JwsAlgorithm | undefined,
): Promise<readonly TokenReason[]> {
  if (key === undefined) return [];
  const foreign: readonly TokenReason[] = alg !== undefined && takes(alg, key) && (keyAlg ?? alg) === alg ? [] : ['algorithm_not_allowed'];
  if (await verifies(token, key, alg)) return foreign;
  // Of a token that names no key the only one that fits was tried, and then nobody known signed it.
  const unnamed = source === 'key set by kid' && token.header?.['kid'] === undefined;
  return [...foreign, 'signature_invalid', ...(unnamed ? (['unknown_kid'] as const) : [])];
}

async function verifies({ text }: CompactToken, key: KeyObject, alg: JwsAlgorithm | undefined): Promise<boolean> {
  if (alg === undefined || !takes(alg, key)) return false;
  try {
    await compactVerify(text, key, { algorithms: [alg] });
    return true;
  } catch (error) {
    if (error instanceof errors.JOSEError) return false;
    throw error;
  }
}

function headerClaims(header: JsonObject, claims: JsonObject): Record<string, ClaimValue> {
  const { alg = null, kid = null } = header as Readonly<Record<string, ClaimValue>>; // JSON holds nothing else
  const { iss = null, aud = null, sub = null } = claims as Readonly<Record<string, ClaimValue>>;
  return { alg, kid, iss, aud, sub };
}

/** Without leeway: whoever asks gives the time. */
function readTimes(claims: JsonObject, now: Date): { problems: TokenReason[]; claims: Record<string, ClaimValue> } {
  const { exp, nbf, iat } = claims;
  const seconds = now.getTime() / 1000;
  const problems: TokenReason[] = [];
  if (typeof exp !== 'number') problems.push('no_exp');
  if ([exp, nbf, iat].some((time) => time !== undefined && !isTime(time))) problems.push('malformed');
  if (typeof exp === 'number' && seconds >= exp) problems.push('token_expired');
  if (isTime(nbf) && seconds < nbf) problems.push('token_not_yet_valid');
  if (isTime(iat) && seconds < iat) problems.push('token_issued_in_future');
  const from = [nbf, iat].find(isTime);
  return { problems, claims: { valid_from: textOf(from), valid_until: textOf(isTime(exp) ? exp : undefined) } };
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= LAST_SECOND;
}

function textOf(seconds: number | undefined): string | null {
  return seconds === undefined ? null : isoSeconds(new Date(seconds * 1000));
}

/** What the manifest asks besides. Absent means that nobody asks, but for services of which one is for production and others for tests. */
function asked(
  claims: JsonObject,
  { nonce }: Readonly<Record<string, ClaimValue>>,
  parameters: ExaminationInputs['parameters'],
): TokenReason[] {
  const holds = (value: unknown, wanted: unknown) => value === wanted || (Array.isArray(value) && value.includes(wanted));
  const questions: ReadonlyArray<readonly [string, unknown, TokenReason]> = [
    ['expected_nonce', nonce, 'nonce_mismatch'],
    ['expected_audience', claims['aud'], 'audience_mismatch'],
    ['expected_issuer', claims['iss'], 'issuer_not_allowed'],
  ];
  const problems = questions.flatMap(([name, value, problem]) => {
    const wanted = parameters[name] ?? null;
    return wanted === null || holds(value, wanted) ? [] : [problem];
  });
  const isAsked = (parameters['expected_issuer'] ?? null) !== null;
  return isAsked || isProductionIssuer(claims) ? problems : [...problems, 'issuer_not_allowed'];
}

/** Each token by its digest, and none besides. */
function coversExactly(digests: ClaimValue | undefined, parts: ReadonlyMap<string, Uint8Array>): boolean {
  if (typeof digests !== 'object' || digests === null) return false;
  const listed = Object.entries(digests);
  return listed.length === parts.size && listed.every(([name, digest]) => digest === digestOf(parts.get(name)));
}

function digestOf(token: Uint8Array | undefined): string | undefined {
  return token && sha256Hex(token);
}

/** Public keys as others publish them (RFC 7517) and the algorithms a token may be signed with. What is not here is not verified with. */
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';

/** By `alg` (RFC 7518, 8037, 9864): the key it takes. Signatures only: `none` and HMACs are not here and cannot be asked for. */
export const JWS_ALGORITHMS = {
  RS256: { kty: 'RSA' },
  RS384: { kty: 'RSA' },
  RS512: { kty: 'RSA' },
  PS256: { kty: 'RSA' },
  PS384: { kty: 'RSA' },
  PS512: { kty: 'RSA' },
  ES256: { kty: 'EC', crv: 'P-256' },
  ES384: { kty: 'EC', crv: 'P-384' },
  ES512: { kty: 'EC', crv: 'P-521' },
  EdDSA: { kty: 'OKP', crv: 'Ed25519' },
  Ed25519: { kty: 'OKP', crv: 'Ed25519' },
} as const satisfies Record<string, { readonly kty: string; readonly crv?: string }>;

export type JwsAlgorithm = keyof typeof JWS_ALGORITHMS;
export const JWS_ALGORITHM_NAMES = Object.keys(JWS_ALGORITHMS) as readonly JwsAlgorithm[]; // the keys of a record of exactly these

/** The members of a public JWK that count here; certificates and addresses in it never do. */
export interface PublicJwk {
  readonly kty: 'RSA' | 'EC' | 'OKP';
  readonly kid?: string | undefined;
  readonly use?: 'sig' | undefined;
  readonly alg?: string | undefined;
  readonly crv?: string | undefined;
  readonly x?: string | undefined;
  readonly y?: string | undefined;
  readonly n?: string | undefined;
  readonly e?: string | undefined;
}

const MEMBERS = ['kid', 'use', 'alg', 'crv', 'x', 'y', 'n', 'e'] as const;
const MAX_MEMBER_CHARS = 2048;
const RSA_BITS = { least: 2048, most: 8192 } as const;

/** A key of a set that somebody publishes, or undefined when it is none we can verify with: sets hold keys for other things too. */
export function readJwk(value: unknown): PublicJwk | undefined {
  if (typeof value !== 'object' || value === null || !('kty' in value)) return undefined;
  const { kty } = value;
  if (kty !== 'RSA' && kty !== 'EC' && kty !== 'OKP') return undefined;
  const members = value as Readonly<Record<string, unknown>>; // an object, seen above
  const read: Record<string, string> = { kty };
  for (const name of MEMBERS) {
    const member = Object.hasOwn(members, name) ? members[name] : undefined;
    if (member === undefined) continue;
    if (typeof member !== 'string' || member.length > MAX_MEMBER_CHARS) return undefined;
    read[name] = member;
  }
  const verifies = !Object.hasOwn(members, 'key_ops') || (Array.isArray(members['key_ops']) && members['key_ops'].includes('verify'));
  if ((read['use'] ?? 'sig') !== 'sig' || !verifies) return undefined;
  const jwk = read as unknown as PublicJwk; // built of its members above
  return keyOf(jwk) === undefined ? undefined : jwk;
}

/** As a key to verify with; undefined when it is not on its curve, too short, or of another form. */
export function keyOf({ kty, crv, x, y, n, e }: PublicJwk): KeyObject | undefined {
  const jwk: JsonWebKey =
    kty === 'RSA' ? { kty, n: n ?? '', e: e ?? '' } : { kty, crv: crv ?? '', x: x ?? '', ...(y !== undefined && { y }) };
  if (kty !== 'RSA' && !Object.values(JWS_ALGORITHMS).some((one) => one.kty === kty && 'crv' in one && one.crv === crv)) return undefined;
  try {
    const key = createPublicKey({ key: jwk, format: 'jwk' }); // refuses a point that is not on its curve
    const { modulusLength, publicExponent } = key.asymmetricKeyDetails ?? {};
    const strong =
      modulusLength === undefined || (modulusLength >= RSA_BITS.least && modulusLength <= RSA_BITS.most && publicExponent === 65_537n);
    return strong ? key : undefined;
  } catch {
    return undefined; // not a key at all
  }
}

/** May `jwk` verify a signature that says it is made with `alg`? */
export function fits(jwk: PublicJwk, alg: JwsAlgorithm): boolean {
  const wanted = JWS_ALGORITHMS[alg];
  return jwk.kty === wanted.kty && (!('crv' in wanted) || jwk.crv === wanted.crv) && (jwk.alg === undefined || jwk.alg === alg);
}

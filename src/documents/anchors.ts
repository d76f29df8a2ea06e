/** The form of reference values and trust anchors: what two people sign, and what is read back. */
import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { JWS_ALGORITHM_NAMES, JWS_ALGORITHMS, keyOf } from '../domain/jwk.ts';

const name = z.string().regex(/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/);
const expires = z.iso.datetime().optional();
const pcrIndex = z.string().regex(/^(?:[0-9]|1[0-9]|2[0-3])$/);
const pcrValue = z.string().regex(/^(?:[0-9a-f]{64}|[0-9a-f]{96})$/);
/** As in a policy's facts: "name=value" must be readable in one way only. */
const claimName = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/);
/** Text that looks the same is the same: well-formed, NFC, no control character. */
const plain = (maximum: number) =>
  z
    .string()
    .min(1)
    .max(maximum)
    .refine((text) => text.isWellFormed() && text === text.normalize('NFC') && !/\p{Cc}/u.test(text), 'must be plain text in NFC');

export const issuer = plain(512);
/** Who an issuer's tokens are about. */
export const tokenSubject = plain(512);

const tpm2Value = z.strictObject({
  id: name,
  kind: z.literal('tpm2'),
  pcrs: z.partialRecord(z.enum(['sha256', 'sha384']), z.record(pcrIndex, z.array(pcrValue).min(1))),
  expires,
});
const jwtValue = z.strictObject({
  id: name,
  kind: z.literal('jwt'),
  issuer,
  claims: z.record(claimName, z.array(plain(256)).min(1).max(100)),
  expires,
});
export const referenceValue = z.discriminatedUnion('kind', [tpm2Value, jwtValue]);

const jwkText = z.string().max(2048).optional();
/** Public members only: a private key has no place in a document that everyone may read. */
const publicJwk = z
  .strictObject({
    kty: z.enum(['RSA', 'EC', 'OKP']),
    kid: z.string().min(1).max(512).optional(),
    use: z.literal('sig').optional(),
    alg: z.string().max(16).optional(),
    ...{ crv: jwkText, x: jwkText, y: jwkText, n: jwkText, e: jwkText },
  })
  .refine(
    (jwk) => keyOf(jwk) !== undefined,
    'is no public key that tokens are verified with: RSA of 2048 bits or more, P-256, P-384, P-521, Ed25519',
  );
const claimPath = z.array(plain(128)).min(1).max(8);

const tpm2Anchor = z.strictObject({ kind: z.literal('tpm2'), name: z.string().min(1).max(128), certificate: z.base64() });
const jwtAnchor = z
  .strictObject({
    kind: z.literal('jwt'),
    name: z.string().min(1).max(128),
    issuer,
    audience: plain(512).optional(),
    jwks: z.strictObject({ keys: z.array(publicJwk).min(1).max(100) }).optional(),
    jwksUrl: z.string().max(1024).refine(isKeySetUrl, 'must be an https address without user, password or fragment').optional(),
    jwksCa: z.string().max(16_384).refine(isCertificatePem, 'must be certificates in PEM').optional(),
    algorithms: z.array(z.enum(JWS_ALGORITHM_NAMES)).min(1),
    typ: z.string().min(1).max(64).optional(),
    headerKeys: z.literal('ignored').optional(),
    maxAgeSeconds: z.int().min(1).max(31_536_000).optional(),
    nonceClaim: claimPath.optional(),
    subjectClaim: claimPath.optional(),
    claims: z.record(claimName, claimPath).refine((claims) => Object.keys(claims).length <= 32, 'at most 32 claims'),
    hardware: z.literal(true).optional(),
    tee: z.literal(true).optional(),
  })
  .refine(({ jwks, jwksUrl }) => (jwks === undefined) !== (jwksUrl === undefined), 'needs either jwks or jwksUrl')
  .refine(({ jwksUrl, jwksCa }) => jwksCa === undefined || jwksUrl !== undefined, 'jwksCa is for jwksUrl')
  .refine(({ audience, nonceClaim }) => audience !== undefined || nonceClaim !== undefined, 'needs an audience, or a nonceClaim')
  .refine(({ hardware, tee }) => tee === undefined || hardware === true, 'what is a TEE is hardware: state both')
  .refine(
    ({ jwks, algorithms }) => jwks === undefined || jwks.keys.every((jwk) => algorithms.some((alg) => JWS_ALGORITHMS[alg].kty === jwk.kty)),
    {
      message: 'has a key that none of its algorithms uses',
    },
  );
export const trustAnchor = z.discriminatedUnion('kind', [tpm2Anchor, jwtAnchor]);

/** One anchor an issuer: with two, neither would say what its tokens mean. */
export const trustAnchorList = z
  .array(trustAnchor)
  .max(100)
  .refine((anchors) => isUnique(anchors.flatMap((one) => (one.kind === 'jwt' ? [one.issuer] : []))), 'an issuer stands in two anchors');

function isUnique(texts: readonly string[]): boolean {
  return new Set(texts).size === texts.length;
}

function isKeySetUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, hash } = new URL(text);
  return protocol === 'https:' && text.startsWith('https://') && username === '' && password === '' && hash === '';
}

function isCertificatePem(text: string): boolean {
  try {
    return new X509Certificate(text).raw.length > 0;
  } catch {
    return false;
  }
}

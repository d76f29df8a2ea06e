/** The form of trust anchors: what two people sign, and what is read back. */
import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import type { TrustAnchor } from '../domain/evidence.ts';
import { JWS_ALGORITHM_NAMES, JWS_ALGORITHMS, keyOf } from '../domain/jwk.ts';
import { claimName, issuer, plain, trustDomain } from './forms.ts';

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

const tpm2Members = { kind: z.literal('tpm2'), name: z.string().min(1).max(128), certificate: z.base64() };
const tpm2Anchor = z.strictObject(tpm2Members);
/** Since version 2: a root whose authorities certify attestation keys. */
const tpm2AnchorV2 = z.strictObject({ ...tpm2Members, use: z.literal('attestation-keys').optional() });
const certificate = z.base64().max(16_384).refine(isCertificateDer, 'must be one certificate, base64 DER');

const jwtMembers = {
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
};
const jwtAnchor = z
  .strictObject(jwtMembers)
  .refine(({ jwks, jwksUrl }) => (jwks === undefined) !== (jwksUrl === undefined), 'needs either jwks or jwksUrl')
  .refine(caIsForUrl, 'jwksCa is for jwksUrl')
  .refine(namesThisVault, 'needs an audience, or a nonceClaim')
  .refine(teeIsHardware, 'what is a TEE is hardware: state both')
  .refine(usesEveryKey, 'has a key that none of its algorithms uses');
/** Since version 2: an issuer that is known by its certificates, or that takes a nonce in hexadecimal. */
const jwtAnchorV2 = z
  .strictObject({ ...jwtMembers, x5cRoots: z.array(certificate).min(1).max(8).optional(), nonceForm: z.literal('hex').optional() })
  .refine(({ nonceForm, nonceClaim }) => nonceForm === undefined || nonceClaim !== undefined, 'nonceForm is for nonceClaim')
  .refine(
    ({ jwks, jwksUrl, x5cRoots }) => [jwks, jwksUrl, x5cRoots].filter((one) => one !== undefined).length === 1,
    'needs either jwks or jwksUrl, or x5cRoots',
  )
  .refine(caIsForUrl, 'jwksCa is for jwksUrl')
  .refine(namesThisVault, 'needs an audience, or a nonceClaim')
  .refine(teeIsHardware, 'what is a TEE is hardware: state both')
  .refine(usesEveryKey, 'has a key that none of its algorithms uses');
/** What version 1 of the document can say. It is frozen: a new member or kind belongs into version 2. */
const anchorV1 = z.discriminatedUnion('kind', [tpm2Anchor, jwtAnchor]);

const anchorName = z.string().min(1).max(128);
const vendorRoot = <K extends string>(kind: K) =>
  z.strictObject({ kind: z.literal(kind), name: anchorName, certificate, use: z.literal('reference-values').optional() });
const spiffeAnchor = z
  .strictObject({
    kind: z.literal('spiffe'),
    name: anchorName,
    trustDomain,
    x509Authorities: z.array(certificate).min(1).max(20).optional(),
    jwtAuthorities: z.strictObject({ keys: z.array(publicJwk).min(1).max(100) }).optional(),
    audience: plain(512).optional(),
  })
  .refine(({ x509Authorities, jwtAuthorities }) => (x509Authorities ?? jwtAuthorities) !== undefined, 'needs authorities')
  .refine(({ jwtAuthorities, audience }) => (jwtAuthorities === undefined) === (audience === undefined), 'JWT-SVIDs need an audience');

export const trustAnchor = z.discriminatedUnion('kind', [
  tpm2AnchorV2,
  jwtAnchorV2,
  vendorRoot('sev-snp'),
  vendorRoot('tdx'),
  vendorRoot('nitro'),
  vendorRoot('nvidia-gpu'),
  spiffeAnchor,
]);

/** One anchor an issuer, or a trust domain: with two, neither would say what its documents mean. */
const listOf = <T extends z.ZodType<TrustAnchor>>(anchor: T) =>
  z
    .array(anchor)
    .max(100)
    .refine((anchors) => isUnique(anchors.flatMap((one) => (one.kind === 'jwt' ? [one.issuer] : []))), 'an issuer stands in two anchors')
    .refine(
      (anchors) => isUnique(anchors.flatMap((one) => (one.kind === 'spiffe' ? [one.trustDomain] : []))),
      'a trust domain stands in two anchors',
    );
export const trustAnchorList = listOf(trustAnchor);
export const trustAnchorListV1 = listOf(anchorV1);

/** The lowest version of the document that can say this: a vault of before can still read it. */
export function anchorsVersion(anchors: readonly TrustAnchor[]): 1 | 2 {
  return trustAnchorListV1.safeParse(anchors).success ? 1 : 2;
}

type JwtMembers = z.output<z.ZodObject<typeof jwtMembers>>;

function caIsForUrl({ jwksUrl, jwksCa }: JwtMembers): boolean {
  return jwksCa === undefined || jwksUrl !== undefined;
}

function namesThisVault({ audience, nonceClaim }: JwtMembers): boolean {
  return audience !== undefined || nonceClaim !== undefined;
}

function teeIsHardware({ hardware, tee }: JwtMembers): boolean {
  return tee === undefined || hardware === true;
}

function usesEveryKey({ jwks, algorithms }: JwtMembers): boolean {
  return jwks === undefined || jwks.keys.every((jwk) => algorithms.some((alg) => JWS_ALGORITHMS[alg].kty === jwk.kty));
}

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

function isCertificateDer(text: string): boolean {
  try {
    const der = Buffer.from(text, 'base64');
    return new X509Certificate(der).raw.equals(der);
  } catch {
    return false;
  }
}

/** An issuer of tokens as tests need it: keys, honest tokens by jose, and tokens that no honest issuer makes, text by text. */
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { type JWTPayload, SignJWT } from 'jose';
import type { VerificationContext } from '../../src/attestation/port.ts';
import { type EnrolledJwt, evidenceBinding, type JwtAnchor, jwtAttesterKey, jwtNonce } from '../../src/domain/evidence.ts';
import type { Namespace, SubjectId, VaultId } from '../../src/domain/ids.ts';
import type { PublicJwk } from '../../src/domain/jwk.ts';

export const ISSUER = 'https://issuer.test/tenant';
export const AUDIENCE = 'weight-vault';
export const SUBJECT = 'system:serviceaccount:prod:web';
export const NOW = new Date('2026-12-01T12:00:00.000Z');
export const at = (seconds: number) => Math.floor(NOW.getTime() / 1000) + seconds;

export interface SigningKey {
  readonly kid: string;
  readonly alg: 'ES256' | 'RS256' | 'PS256' | 'EdDSA' | 'ES384';
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly jwk: PublicJwk;
}

export function makeKey(kid: string, alg: SigningKey['alg'] = 'ES256', bits = 2048): SigningKey {
  const { privateKey, publicKey } =
    alg === 'ES256' || alg === 'ES384'
      ? generateKeyPairSync('ec', { namedCurve: alg === 'ES256' ? 'P-256' : 'P-384' })
      : alg === 'EdDSA'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('rsa', { modulusLength: bits });
  return { kid, alg, privateKey, publicKey, jwk: { ...(publicKey.export({ format: 'jwk' }) as unknown as PublicJwk), kid } };
}

export const KEY = makeKey('key-1');
export const TLS = makeKey('tls');
export const spkiOf = ({ publicKey }: Pick<SigningKey, 'publicKey'>) => new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));

export const BINDING = evidenceBinding({
  vaultId: '019bc0de-0000-7000-8000-000000000001' as VaultId,
  challengeNonce: new Uint8Array(32).fill(7),
  spki: spkiOf(TLS),
});

/** A verifier's token: it answers a nonce. */
export const NONCE_ANCHOR: JwtAnchor = {
  kind: 'jwt',
  name: 'the verifier',
  issuer: ISSUER,
  audience: AUDIENCE,
  jwks: { keys: [KEY.jwk] },
  algorithms: ['ES256'],
  nonceClaim: ['eat_nonce'],
  claims: { image: ['submods', 'container', 'digest'], debug: ['dbgstat'] },
};
/** Kubernetes-like: identity only. */
export const { nonceClaim: _, ...BEARER_ANCHOR } = NONCE_ANCHOR;

export const honestClaims = (over: JWTPayload = {}): JWTPayload => ({
  iss: ISSUER,
  aud: AUDIENCE,
  sub: SUBJECT,
  jti: 'id-1',
  iat: at(-5),
  nbf: at(-5),
  exp: at(300),
  eat_nonce: jwtNonce(BINDING),
  submods: { container: { digest: 'sha256:aa' } },
  dbgstat: 'disabled',
  ...over,
});

export function tokenOf(claims: JWTPayload = honestClaims(), header: Record<string, unknown> = {}, key = KEY): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'JWT', ...header }).sign(key.privateKey);
}

const encoded = (text: string | Uint8Array) => Buffer.from(text).toString('base64url');

/** Signed over exactly these texts. */
export function rawToken(header: string, payload: string | Uint8Array, key = KEY): string {
  const input = `${encoded(header)}.${encoded(payload)}`;
  const signature = sign('sha256', Buffer.from(input), { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
  return `${input}.${encoded(signature)}`;
}
export const rawHeader = (over: object = {}) => JSON.stringify({ alg: 'ES256', kid: KEY.kid, typ: 'JWT', ...over });

export function hmacToken(secret: string | Uint8Array): string {
  const input = `${encoded(rawHeader({ alg: 'HS256' }))}.${encoded(JSON.stringify(honestClaims()))}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

export const ENROLLED: EnrolledJwt = {
  subjectId: '0192f3a4-5b6c-7d8e-9fa0-000000000001' as SubjectId,
  namespace: 'prod' as Namespace,
  name: 'web',
  kind: 'jwt',
  issuer: ISSUER,
  subject: SUBJECT,
  attributes: {},
};

/** Knows ENROLLED, and remembers spent ids as the store does. */
export function contextWith(anchor: JwtAnchor = NONCE_ANCHOR, over: Partial<VerificationContext> = {}): VerificationContext {
  const spent = new Set<string>();
  return {
    role: 'primary',
    binding: BINDING,
    challengeNonce: new Uint8Array(32), // inside the binding
    collateral: { find: async () => undefined },
    spki: spkiOf(TLS),
    now: NOW,
    namespace: ENROLLED.namespace,
    anchors: [anchor],
    attester: async (key) => (key === jwtAttesterKey(ISSUER, SUBJECT) ? ENROLLED : undefined),
    async spendTokenId(issuer, tokenId) {
      const key = JSON.stringify([issuer, tokenId]);
      if (spent.has(key)) return false;
      spent.add(key);
      return true;
    },
    ...over,
  };
}

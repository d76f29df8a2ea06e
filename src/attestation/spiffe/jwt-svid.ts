/** JWT-SVID (SPIFFE JWT-SVID, sections 2 to 4): a bearer token about one workload, for one audience. It answers no challenge. */
import { sha256Hex, utf8 } from '../../domain/bytes.ts';
import { failedClaim, isRefusal, type JwtAnchor, type Refusal, refuse, type SpiffeAnchor } from '../../domain/evidence.ts';
import type { JwsAlgorithm } from '../../domain/jwk.ts';
import { checkAudience, claimAt, endOf, plainText } from '../jwt/claims.ts';
import { parseJwtEvidence, type Token } from '../jwt/evidence.ts';
import type { KeySets } from '../jwt/key-sets.ts';
import { verifySignature } from '../jwt/keys.ts';
import type { VerificationContext } from '../port.ts';
import { parseSpiffeId, type SpiffeId } from './spiffe-id.ts';

/** Section 2.1. */
const ALGORITHMS: readonly JwsAlgorithm[] = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512'];
/** The keys of a trust domain are in its anchor: nothing is read from anywhere. */
const NO_KEY_SETS: KeySets = { keysOf: async () => [] };

export async function verifyJwtSvid(
  token: string,
  anchors: readonly SpiffeAnchor[],
  context: Pick<VerificationContext, 'now' | 'spendTokenId'>,
): Promise<SpiffeId | Refusal> {
  const parsed = parseJwtEvidence({ token });
  if (isRefusal(parsed)) return parsed;
  const spiffeId = parseSpiffeId(claimAt(parsed.claims, ['sub']));
  if (spiffeId === undefined) return refuse('evidence_malformed', 'sub is no SPIFFE ID of a workload');
  const anchor = anchors.find(({ trustDomain }) => trustDomain === spiffeId.trustDomain);
  if (anchor?.jwtAuthorities === undefined) {
    const domains = anchors.flatMap((one) => (one.jwtAuthorities ? [one.trustDomain] : [])).slice(0, 8);
    return refuse('endorsement_untrusted', 'the trust domain is no trust anchor for tokens', {
      failed: failedClaim('trustDomain', domains, spiffeId.trustDomain),
    });
  }
  const wrong = await verifyToken(parsed, anchor, context.now);
  if (isRefusal(wrong)) return wrong;
  // Not of its signature: whoever has an ECDSA signature (r, s) has another one of the same token, (r, n - s).
  const tokenId = plainText(claimAt(parsed.claims, ['jti'])) ?? sha256Hex(utf8(token.slice(0, token.lastIndexOf('.'))));
  const spent = await context.spendTokenId(`spiffe://${spiffeId.trustDomain}`, tokenId, wrong);
  if (spent) return spiffeId;
  return refuse('token_spent', 'ask the Workload API for another one', { failed: failedClaim('jti', 'never shown before', tokenId) });
}

/** Resolves with when it ends. */
async function verifyToken(
  token: Token,
  { name, trustDomain, jwtAuthorities, audience }: SpiffeAnchor,
  now: Date,
): Promise<Date | Refusal> {
  if (token.typ !== undefined && token.typ !== 'JWT' && token.typ !== 'JOSE')
    return refuse('evidence_malformed', 'typ is neither JWT nor JOSE');
  if (token.namesKeys) return refuse('evidence_malformed', 'the header brings a key, or an address of one');
  const issuer: JwtAnchor = {
    ...{ kind: 'jwt', name, issuer: trustDomain, audience, algorithms: ALGORITHMS, claims: {} },
    jwks: jwtAuthorities,
  };
  return (
    (await verifySignature(token, issuer, NO_KEY_SETS, now)) ?? checkAudience(token.claims, issuer) ?? endOf(token.claims, issuer, now)
  );
}

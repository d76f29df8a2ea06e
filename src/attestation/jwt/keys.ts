/** Which key a token must be signed with: one of its issuer's, named by `kid`, fit for `alg`. Never one that the token brings along. */
import { compactVerify, errors } from 'jose';
import { type JwtAnchor, type Refusal, refuse } from '../../domain/evidence.ts';
import { fits, type JwsAlgorithm, keyOf, type PublicJwk } from '../../domain/jwk.ts';
import type { Token } from './evidence.ts';
import type { KeySets } from './key-sets.ts';

/** Undefined when the token is signed by its issuer. Rejects `issuer_unavailable`. */
export async function verifySignature(token: Token, anchor: JwtAnchor, keySets: KeySets): Promise<Refusal | undefined> {
  const alg = anchor.algorithms.find((one) => one === token.alg);
  if (alg === undefined) return refuse('evidence_signature_invalid', 'the token is signed in a way its issuer does not sign');
  const find = (keys: readonly PublicJwk[]) => findKey(keys, token.kid, alg);
  const jwk = find(await keysOf(anchor, keySets, (keys) => find(keys) !== undefined));
  const key = jwk && keyOf(jwk);
  if (key === undefined)
    return refuse('endorsement_untrusted', 'the issuer has no key, or not exactly one, that the token names and that fits');
  try {
    await compactVerify(token.compact, key, { algorithms: [alg] });
    return undefined;
  } catch (error) {
    if (error instanceof errors.JOSEError) return refuse('evidence_signature_invalid', 'the signature of the token does not verify');
    throw error;
  }
}

async function keysOf(anchor: JwtAnchor, keySets: KeySets, suits: (keys: readonly PublicJwk[]) => boolean): Promise<readonly PublicJwk[]> {
  if (anchor.jwksUrl === undefined) return anchor.jwks?.keys ?? [];
  return keySets.keysOf({ url: anchor.jwksUrl, ca: anchor.jwksCa }, suits);
}

/** Exactly one. A key without `kid` counts only when it is the whole set; a token without `kid` only when one key alone fits. */
function findKey(keys: readonly PublicJwk[], kid: string | undefined, alg: JwsAlgorithm): PublicJwk | undefined {
  const named = (jwk: PublicJwk) => kid === undefined || jwk.kid === kid || (jwk.kid === undefined && keys.length === 1);
  const [found, ...more] = keys.filter((jwk) => fits(jwk, alg) && named(jwk));
  return more.length === 0 ? found : undefined;
}

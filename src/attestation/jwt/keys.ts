/** Which key a token must be signed with: one of its issuer's, named by `kid`, fit for `alg`; or the leaf of a chain to a root of the issuer. */
import type { KeyObject } from 'node:crypto';
import { compactVerify, errors } from 'jose';
import { fromBase64 } from '../../domain/bytes.ts';
import { failedClaim, failedFindings, isRefusal, type JwtAnchor, type Refusal, refuse } from '../../domain/evidence.ts';
import { fits, JWS_ALGORITHMS, type JwsAlgorithm, keyOf, type PublicJwk } from '../../domain/jwk.ts';
import type { Certificate } from '../x509/certificate.ts';
import type { Token } from './evidence.ts';
import type { KeySets } from './key-sets.ts';
import { pinnedCertificate, verifyX5c } from './x5c.ts';

/** Undefined when the token is signed by its issuer. Rejects `issuer_unavailable`. */
export async function verifySignature(token: Token, anchor: JwtAnchor, keySets: KeySets, now: Date): Promise<Refusal | undefined> {
  const signer = await verifiedSigner(token, anchor, keySets, now);
  return isRefusal(signer) ? signer : undefined;
}

/** Who signed, and the way from its certificate to the issuer's root; without certificates an empty one. Rejects `issuer_unavailable`. */
export interface Signer {
  readonly key: KeyObject;
  readonly path: readonly Certificate[];
}

export async function verifiedSigner(token: Token, anchor: JwtAnchor, keySets: KeySets, now: Date): Promise<Signer | Refusal> {
  const alg = anchor.algorithms.find((one) => one === token.alg);
  if (alg === undefined) {
    const failed = [{ claim: 'alg', expected: anchor.algorithms, seen: token.alg }];
    return refuse('evidence_signature_invalid', 'the token is signed in a way its issuer does not sign', { failed });
  }
  const signer = anchor.x5cRoots === undefined ? await keyOfSet(token, anchor, alg, keySets) : keyOfChain(token, anchor.x5cRoots, now);
  if (isRefusal(signer)) return signer;
  const { key } = signer;
  if (!takes(alg, key)) return refuse('endorsement_untrusted', 'the certificate of the issuer is about a key of another type');
  try {
    await compactVerify(token.compact, key, { algorithms: [alg] });
    return signer;
  } catch (error) {
    if (error instanceof errors.JOSEError) {
      const failed = failedClaim('signature', `of ${token.kid ?? 'the one key'} of ${anchor.name}`);
      return refuse('evidence_signature_invalid', 'the signature of the token does not verify', { failed });
    }
    throw error;
  }
}

const CURVES: Readonly<Record<string, string>> = { 'P-256': 'prime256v1', 'P-384': 'secp384r1', 'P-521': 'secp521r1' };

/** The type and curve of the key are the algorithm's: a certificate can be about any key. */
export function takes(alg: JwsAlgorithm, { asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): boolean {
  const wanted = JWS_ALGORITHMS[alg];
  if (wanted.kty === 'RSA') return type === 'rsa' && (details?.modulusLength ?? 0) >= 2048;
  if (wanted.kty === 'OKP') return type === 'ed25519';
  return type === 'ec' && details?.namedCurve === CURVES[wanted.crv];
}

async function keyOfSet(token: Token, anchor: JwtAnchor, alg: JwsAlgorithm, keySets: KeySets): Promise<Signer | Refusal> {
  const find = (keys: readonly PublicJwk[]) => findKey(keys, token.kid, alg);
  const jwk = find(await keysOf(anchor, keySets, (keys) => find(keys) !== undefined));
  const key = jwk && importedKey(jwk);
  if (key !== undefined) return { key, path: [] };
  const failed = failedClaim('kid', `one key for ${alg}`, token.kid ?? 'none');
  return refuse('endorsement_untrusted', 'the issuer has no key, or not exactly one, that the token names and that fits', { failed });
}

/** Sets and anchors are read once and never changed, and importing a key takes as long as verifying with it. */
const imported = new WeakMap<PublicJwk, KeyObject>();

function importedKey(jwk: PublicJwk): KeyObject | undefined {
  const key = imported.get(jwk) ?? keyOf(jwk);
  if (key !== undefined) imported.set(jwk, key);
  return key;
}

/** The chain comes with the token; what makes it count is the root that two people put in force for this issuer. */
function keyOfChain({ x5c }: Token, roots: readonly string[], now: Date): Signer | Refusal {
  const trust = { roots: roots.map((root) => pinnedCertificate(fromBase64(root))), helpers: [] };
  const { problems, leaf, path = [] } = verifyX5c(x5c, trust, now);
  if (leaf !== undefined && problems.length === 0) return { key: leaf.publicKey, path };
  const dated = problems.some((problem) => problem === 'certificate_expired' || problem === 'certificate_not_yet_valid');
  const known = { failed: failedFindings('x5c', problems) };
  return dated
    ? refuse('evidence_expired', 'a certificate of the issuer is not valid at this time', known)
    : refuse('endorsement_untrusted', `the chain in the header does not lead to a root of the issuer: ${problems.join(', ')}`, known);
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

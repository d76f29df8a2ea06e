/** What ties a token to this request: the nonce that is made of the challenge and the TLS key, or a key confirmation (RFC 7800). */
import { createPublicKey } from 'node:crypto';
import { calculateJwkThumbprint } from 'jose';
import { failedClaim, type JwtAnchor, jwtNonce, jwtNonceHex, type Refusal, refuse } from '../../domain/evidence.ts';
import { type PublicJwk, readJwk } from '../../domain/jwk.ts';
import type { VerificationContext } from '../port.ts';
import type { JsonObject } from '../strict-json.ts';
import { claimAt, seenText } from './claims.ts';

export interface Bound {
  readonly fresh: boolean;
  readonly keyBound: boolean;
}

/** A nonce or a confirmation that is there must be right: a token that names another key is nobody's identity here. */
export async function bindingOf(claims: JsonObject, anchor: JwtAnchor, context: VerificationContext): Promise<Bound | Refusal> {
  const { nonceClaim } = anchor;
  const wrong = checkNonce(claims, anchor, context.binding);
  if (wrong !== undefined) return wrong;
  const cnf = claimAt(claims, ['cnf']);
  if (cnf !== undefined && !(await confirms(cnf, context.spki))) {
    const failed = failedClaim('cnf', (await thumbprintOf(context.spki)) ?? 'a key that has a JWK');
    return refuse(
      'evidence_binding_mismatch',
      'the token names (cnf) another key than the one on the connection, or names it in a way not known',
      { failed },
    );
  }
  return { fresh: nonceClaim !== undefined, keyBound: nonceClaim !== undefined || cnf !== undefined };
}

/** Undefined when the token carries our nonce, or its issuer takes none. */
export function checkNonce(claims: JsonObject, { nonceClaim, nonceForm }: JwtAnchor, binding: Uint8Array): Refusal | undefined {
  if (nonceClaim === undefined) return undefined;
  const nonce = nonceForm === 'hex' ? jwtNonceHex(binding) : jwtNonce(binding);
  const claim = claimAt(claims, nonceClaim);
  if (carriesNonce(claim, nonce)) return undefined;
  const seen = seenText(claim);
  const failed = [{ claim: nonceClaim.join('.'), expected: [nonce], ...(seen !== undefined && { seen }) }];
  return refuse('evidence_binding_mismatch', 'the nonce of the token is not of this challenge, key and vault', { failed });
}

/** EAT allows several nonces (RFC 9711 section 4.1): ours must be among them. */
function carriesNonce(claim: unknown, nonce: string): boolean {
  return claim === nonce || (Array.isArray(claim) && claim.includes(nonce));
}

/** Every way in which the token names the key must name the TLS key. `x5t#S256` is about a certificate, and only keys reach this far. */
async function confirms(cnf: unknown, spki: Uint8Array): Promise<boolean> {
  if (typeof cnf !== 'object' || cnf === null || Array.isArray(cnf)) return false;
  const ways = Object.entries(cnf);
  if (ways.length === 0) return false;
  const ours = await thumbprintOf(spki);
  for (const [way, value] of ways) {
    const named = way === 'jkt' ? value : way === 'jwk' ? await thumbprint(readJwk(value)) : undefined;
    if (named === undefined || named !== ours) return false;
  }
  return true;
}

/** RFC 7638, SHA-256. Undefined for a TLS key that has no JWK, such as one for RSASSA-PSS only. */
async function thumbprintOf(spki: Uint8Array): Promise<string | undefined> {
  try {
    return thumbprint(readJwk(createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' }).export({ format: 'jwk' })));
  } catch {
    return undefined;
  }
}

async function thumbprint(jwk: PublicJwk | undefined): Promise<string | undefined> {
  return jwk && calculateJwkThumbprint(JSON.parse(JSON.stringify(jwk)), 'sha256'); // without members that are undefined
}

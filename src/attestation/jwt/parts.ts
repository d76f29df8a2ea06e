/**
 * The tokens that a token is about (detached EAT, RFC 9711 section 5): NRAS signs one for each device, and one overall that has their digests.
 * Verified, their claims stand below `submods` of the overall one, where an attached submodule would stand.
 */
import { sha256Hex, utf8 } from '../../domain/bytes.ts';
import { failedClaim, isRefusal, type JwtAnchor, type Refusal, refuse } from '../../domain/evidence.ts';
import type { JsonObject } from '../strict-json.ts';
import { checkNonce } from './binding.ts';
import { claimAt, endOf, plainText } from './claims.ts';
import type { Token } from './evidence.ts';
import { checkHeader } from './header.ts';
import type { KeySets } from './key-sets.ts';
import { verifySignature } from './keys.ts';

export interface PartsContext {
  readonly anchor: JwtAnchor;
  readonly keySets: KeySets;
  readonly now: Date;
  readonly binding: Uint8Array;
}

/** Claims of `token` with those of its parts inside, and when the first of them ends. */
export async function attachParts(token: Token, context: PartsContext): Promise<{ claims: JsonObject; end: Date | undefined } | Refusal> {
  const { parts, claims } = token;
  if (parts === undefined) return { claims, end: undefined };
  const uncovered = checkDigests(claimAt(claims, ['submods']), parts);
  if (uncovered !== undefined) return uncovered;
  const ends: Date[] = [];
  for (const part of parts.values()) {
    const end = await verifyPart(part, context);
    if (isRefusal(end)) return end;
    ends.push(end);
  }
  const submods = Object.fromEntries([...parts].map(([name, part]) => [name, part.claims]));
  return { claims: { ...claims, submods }, end: new Date(Math.min(...ends.map((end) => end.getTime()))) };
}

/** By the same issuer, for the same nonce, in its time. */
async function verifyPart(part: Token, { anchor, keySets, now, binding }: PartsContext): Promise<Date | Refusal> {
  const issuer = claimAt(part.claims, ['iss']);
  if (issuer !== anchor.issuer) {
    const failed = failedClaim('iss of a part', anchor.issuer, plainText(issuer, 512));
    return refuse('endorsement_untrusted', 'a part is of another issuer', { failed });
  }
  const wrong =
    checkHeader(part, anchor) ?? (await verifySignature(part, anchor, keySets, now)) ?? checkNonce(part.claims, anchor, binding);
  return wrong ?? endOf(part.claims, anchor, now);
}

/** `["DIGEST", ["SHA-256", hex]]` for each part, and for no other: what is left out cannot hide. */
function checkDigests(submods: unknown, parts: ReadonlyMap<string, Token>): Refusal | undefined {
  const listed = typeof submods === 'object' && submods !== null && !Array.isArray(submods) ? Object.entries(submods) : [];
  const same =
    listed.length === parts.size &&
    listed.every(([name, digest]) => {
      const part = parts.get(name);
      return part !== undefined && JSON.stringify(digest) === JSON.stringify(['DIGEST', ['SHA-256', sha256Hex(utf8(part.compact))]]);
    });
  if (same) return undefined;
  const failed = [{ claim: 'submods', expected: listed.map(([name]) => name).slice(0, 16), seen: [...parts.keys()].join(',') }];
  return refuse('evidence_signature_invalid', 'the parts are not exactly those that the token has digests of', { failed });
}

/** EvidenceVerifier of kind `jwt`: a token of an issuer that a trust anchor names, about a subject that was enrolled. */
import {
  type EnrolledJwt,
  failedClaim,
  isRefusal,
  type JwtAnchor,
  jwtAttesterKey,
  type Refusal,
  refuse,
  type VerifiedJwt,
} from '../../domain/evidence.ts';
import { certificateEndorsements } from '../endorsements.ts';
import type { EvidenceVerifier, VerificationContext } from '../port.ts';
import type { Certificate } from '../x509/certificate.ts';
import { bindingOf } from './binding.ts';
import { checkAudience, claimAt, endOf, factsOf, plainText } from './claims.ts';
import { parseJwtEvidence, type Token } from './evidence.ts';
import { checkHeader } from './header.ts';
import type { KeySets } from './key-sets.ts';
import { verifiedSigner } from './keys.ts';
import { attachParts } from './parts.ts';

const MAX_SUBJECT_CHARS = 512;

export function createJwtVerifier(keySets: KeySets): EvidenceVerifier<VerifiedJwt> {
  return { kind: 'jwt', verify: (body, context) => verifyJwt(body, context, keySets) };
}

async function verifyJwt(
  body: Readonly<Record<string, unknown>>,
  context: VerificationContext,
  keySets: KeySets,
): Promise<VerifiedJwt | Refusal> {
  const token = parseJwtEvidence(body);
  if (isRefusal(token)) return token;
  const verified = await verifyToken(token, context, keySets);
  if (isRefusal(verified)) return verified;
  const { anchor, path } = verified;
  const attached = await attachParts(token, { anchor, keySets, now: context.now, binding: context.binding });
  if (isRefusal(attached)) return attached;
  const end = attached.end === undefined || attached.end > verified.end ? verified.end : attached.end;
  const attester = await findEnrolled(token, anchor, context);
  if (isRefusal(attester)) return attester;

  // From here on the issuer is known to have made the token about this attester, so a refusal may name it.
  const bound = await bindingOf(token.claims, anchor, context);
  if (isRefusal(bound)) return { ...bound, subject: attester };
  const facts = factsOf(attached.claims, anchor);
  if (isRefusal(facts)) return { ...facts, subject: attester };
  const spent = bound.fresh ? undefined : await spendOnce(token, anchor, end, context);
  if (spent !== undefined) return { ...spent, subject: attester };
  const proved = { ...bound, hardware: anchor.hardware === true, tee: anchor.tee === true };
  const names = ['token signer', ...path.slice(2).map(() => 'issuer of the token signer'), 'root of the issuer'];
  return { kind: 'jwt', attester, facts, proved, endorsements: certificateEndorsements(names, path) };
}

/** The issuer's word: its signature, for us, now. */
export async function verifyToken(
  token: Token,
  { anchors, now }: Pick<VerificationContext, 'anchors' | 'now'>,
  keySets: KeySets,
): Promise<{ readonly anchor: JwtAnchor; readonly end: Date; readonly path: readonly Certificate[] } | Refusal> {
  const anchor = anchorOf(token, anchors);
  if (anchor === undefined) {
    const issuers = anchors.flatMap((one) => (one.kind === 'jwt' ? [one.issuer] : [])).slice(0, 8);
    const failed = failedClaim('iss', issuers, plainText(claimAt(token.claims, ['iss']), MAX_SUBJECT_CHARS));
    return refuse('endorsement_untrusted', 'the issuer of the token is no trust anchor, or stands in two of them', { failed });
  }
  const misplaced = checkHeader(token, anchor);
  if (misplaced !== undefined) return misplaced;
  const signer = await verifiedSigner(token, anchor, keySets, now);
  if (isRefusal(signer)) return signer;
  const end = checkAudience(token.claims, anchor) ?? endOf(token.claims, anchor, now);
  return isRefusal(end) ? end : { anchor, end, path: signer.path };
}

/** The unverified `iss` only chooses whose key must have signed. Equal means the same characters: a slash more is somebody else. */
function anchorOf({ claims }: Token, anchors: VerificationContext['anchors']): JwtAnchor | undefined {
  const issuer = claimAt(claims, ['iss']);
  const [found, ...more] = anchors.filter((anchor): anchor is JwtAnchor => anchor.kind === 'jwt' && anchor.issuer === issuer);
  return more.length === 0 ? found : undefined;
}

/** Another namespace's attester is answered like a stranger: its existence is nobody else's business. */
async function findEnrolled({ claims }: Token, anchor: JwtAnchor, context: VerificationContext): Promise<EnrolledJwt | Refusal> {
  const subject = plainText(claimAt(claims, anchor.subjectClaim ?? ['sub']), MAX_SUBJECT_CHARS);
  if (subject === undefined) return refuse('evidence_malformed', 'the token does not say in plain text who it is about');
  const attester = await context.attester(jwtAttesterKey(anchor.issuer, subject));
  const same = attester?.kind === 'jwt' && attester.issuer === anchor.issuer && attester.subject === subject;
  if (same && attester.namespace === context.namespace) return attester;
  const failed = failedClaim((anchor.subjectClaim ?? ['sub']).join('.'), 'of somebody enrolled', subject);
  return refuse('attester_key_unknown', `${subject} of this issuer is not enrolled in this namespace`, { failed });
}

/** A token that answers no challenge could be shown again by whoever saw it. */
async function spendOnce({ claims }: Token, { issuer }: JwtAnchor, end: Date, context: VerificationContext): Promise<Refusal | undefined> {
  const tokenId = plainText(claimAt(claims, ['jti']));
  if (tokenId === undefined) return refuse('evidence_malformed', 'a token without our nonce needs an id (jti), so that it is good once');
  if (await context.spendTokenId(issuer, tokenId, end)) return undefined;
  return refuse('token_spent', 'ask the issuer for another one', { failed: failedClaim('jti', 'never shown before', tokenId) });
}

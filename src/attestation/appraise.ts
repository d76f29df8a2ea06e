/**
 * The appraisal (RFC 9334 section 8.3): from what a request showed to an AttestationResult, or to the reason why not.
 * The only place that makes an AttestationResult. Start from no: without evidence, anchors or reference values the answer is a refusal.
 */
import { sha256Hex } from '../domain/bytes.ts';
import { claimStage } from '../domain/earned.ts';
import {
  type AttestationResult,
  type Evidence,
  isRefusal,
  type ReferenceValue,
  type Refusal,
  refuse,
  type SpkiDigest,
  type VerifiedClaims,
} from '../domain/evidence.ts';
import { type Digest, parseDigest } from '../domain/ids.ts';
import { canonicalJson } from '../domain/json.ts';
import { isEvidenceKind, KINDS, provedBy } from './kinds.ts';
import type { EvidenceVerifier, VerificationContext } from './port.ts';
import { matchReferenceValues } from './reference-values.ts';

export interface AppraisalInputs {
  readonly evidence: readonly Evidence[];
  readonly verifiers: ReadonlyMap<string, EvidenceVerifier>;
  /** What the evidence must be bound to, and whose attesters and anchors count. */
  readonly context: VerificationContext;
  readonly referenceValues: readonly ReferenceValue[];
  /** SHA-256 of the signed document the reference values are from; absent when none is in force, and then nothing can match. */
  readonly referenceValuesDigest: Digest | undefined;
  /** The TLS key the result will be good for; the same key is inside `context.binding`. */
  readonly spkiDigest: SpkiDigest;
  /** The database's time: reference values expire by it. */
  readonly now: Date;
}

const mint = claimStage('AttestationResult');

/** Rejects only when it cannot tell, which is when a store does not answer or an anchor of ours cannot be read. */
export async function appraise(inputs: AppraisalInputs): Promise<AttestationResult | Refusal> {
  const only = onlyPiece(inputs.evidence);
  if (isRefusal(only)) return only;
  const evidenceDigest = digestOf(inputs.evidence);
  if (evidenceDigest === undefined) return refuse('evidence_malformed', 'the evidence has no canonical JSON form');

  const claims = await verifyPiece(only, inputs);
  if (isRefusal(claims)) return { ...claims, evidenceDigest };
  const matched = matchTrusted(claims, inputs);
  if (isRefusal(matched)) return { ...matched, evidenceDigest };
  const { referenceValuesDigest } = inputs;
  if (referenceValuesDigest === undefined) {
    return refuse('reference_values_missing', 'no reference values are in force', { subject: claims.attester, evidenceDigest });
  }
  return mintResult(claims, { matched, referenceValuesDigest, evidenceDigest, spkiDigest: inputs.spkiDigest });
}

/** This version weighs exactly one piece; taking one of several and ignoring the rest would be a choice by the requester. */
function onlyPiece(evidence: readonly Evidence[]): Evidence | Refusal {
  const [only, ...more] = evidence;
  if (only === undefined) return refuse('evidence_missing', 'the request carries no evidence');
  if (more.length > 0) return refuse('evidence_malformed', 'this version accepts exactly one piece of evidence');
  return only;
}

/** Asks the verifier of that kind. Its word counts only for its own kind. */
async function verifyPiece({ kind, body }: Evidence, { verifiers, context }: AppraisalInputs): Promise<VerifiedClaims | Refusal> {
  const verifier = verifiers.get(kind);
  if (verifier === undefined || verifier.kind !== kind || !isEvidenceKind(kind)) {
    return refuse('evidence_kind_unsupported', 'no verifier of that kind is configured');
  }
  if (canonicalJson(body).length > KINDS[kind].maxBodyBytes) {
    return refuse('evidence_malformed', `a ${kind} body has at most ${KINDS[kind].maxBodyBytes} bytes`);
  }
  const claims = await verifier.verify(body, context);
  if (!isRefusal(claims) && claims.kind !== kind) throw new Error(`the ${kind} verifier answered about ${claims.kind}`);
  return claims;
}

/**
 * An enrolled TPM was endorsed under anchors that were in force then. Without an anchor today nothing endorses it any more;
 * which of several anchors it was is not remembered (docs/formats/enrolment.md). A token was just verified under its issuer's anchor.
 */
function matchTrusted(claims: VerifiedClaims, { context, referenceValues, now }: AppraisalInputs): readonly string[] | Refusal {
  if (!context.anchors.some((anchor) => anchor.kind === claims.kind)) {
    return refuse('endorsement_untrusted', `no trust anchor for ${claims.kind} is in force`, { subject: claims.attester });
  }
  return matchReferenceValues(claims, referenceValues, now);
}

function mintResult(
  claims: VerifiedClaims,
  proved: Pick<AttestationResult, 'matched' | 'referenceValuesDigest' | 'evidenceDigest' | 'spkiDigest'>,
): AttestationResult {
  return mint({
    tier: 'affirming' as const,
    kinds: [claims.kind],
    ...provedBy(claims),
    subject: claims.attester,
    facts: claims.facts,
    ...proved,
  });
}

/** Undefined when JSON from outside has no canonical form: a number beyond all bounds, or nesting beyond the stack. */
function digestOf(evidence: readonly Evidence[]): Digest | undefined {
  try {
    return parseDigest(sha256Hex(canonicalJson(evidence)));
  } catch {
    return undefined;
  }
}

/**
 * The appraisal (RFC 9334 section 8.3): from what a request showed to an AttestationResult, or to the reason why not.
 * The only place that makes an AttestationResult. Start from no: without evidence, anchors or reference values the answer is a refusal.
 *
 * Several pieces make one result. The first says who asks; its B carries the digest of all the others, so what stands beside it was put there
 * by whoever made it, for this challenge and this key. The others add facts, never freshness, hardware or a name.
 */
import { sha256Hex } from '../domain/bytes.ts';
import { claimStage } from '../domain/earned.ts';
import {
  type AppraisedPiece,
  type AttestationResult,
  additionalEvidenceDigest,
  attesterOf,
  type EnrolledAttester,
  type Evidence,
  isRefusal,
  type ReferenceValue,
  type Refusal,
  refuse,
  type SpkiDigest,
  type VerifiedClaims,
} from '../domain/evidence.ts';
import { problemsOfFacts } from '../domain/facts.ts';
import { type Digest, type ModelId, parseDigest } from '../domain/ids.ts';
import { canonicalJson } from '../domain/json.ts';
import { provedBy } from './kinds.ts';
import { checkPieces, type Piece } from './pieces.ts';
import type { EvidenceVerifier, VerificationContext } from './port.ts';
import { matchReferenceValues } from './reference-values.ts';

export interface AppraisalInputs {
  readonly evidence: readonly Evidence[];
  readonly verifiers: ReadonlyMap<string, EvidenceVerifier>;
  /** B for this challenge and key, with the digest of an additional evidence list or without one. */
  readonly bindingOf: (additionalEvidenceDigest?: Uint8Array) => Uint8Array;
  /** Whose attesters and anchors count. */
  readonly context: Omit<VerificationContext, 'role' | 'binding'>;
  readonly referenceValues: readonly ReferenceValue[];
  /** SHA-256 of the signed document the reference values are from; absent when none is in force, and then nothing can match. */
  readonly referenceValuesDigest: Digest | undefined;
  /** Names the documents of both, for the record. */
  readonly appraisalPolicyId: string;
  /** The TLS key the result will be good for; the same key is inside B. */
  readonly spkiDigest: SpkiDigest;
  /** The database's time: reference values expire by it. */
  readonly now: Date;
}

const mint = claimStage('AttestationResult');

/** Rejects only when it cannot tell, which is when a store does not answer or an anchor of ours cannot be read. */
export async function appraise(inputs: AppraisalInputs): Promise<AttestationResult | Refusal> {
  const answer = await weigh(inputs);
  return isRefusal(answer) ? { ...answer, appraisalPolicyId: inputs.appraisalPolicyId } : answer;
}

async function weigh(inputs: AppraisalInputs): Promise<AttestationResult | Refusal> {
  const evidenceDigest = digestOf(inputs.evidence);
  if (evidenceDigest === undefined) return refuse('evidence_malformed', 'the evidence has no canonical JSON form');
  const pieces = checkPieces(inputs.evidence);
  if (isRefusal(pieces)) return { ...pieces, evidenceDigest };

  const [first, ...others] = pieces;
  const binding = inputs.bindingOf(additionalEvidenceDigest(inputs.evidence));
  const primary = await appraisePiece(first, { ...inputs.context, binding, role: 'primary' }, inputs);
  if (isRefusal(primary)) return { ...primary, evidenceDigest };
  const subject = primary.attester;
  if (subject === undefined) throw new Error(`${primary.kind} stands first and says nobody's name`); // checkPieces lets none through
  const beside = await appraiseOthers(others, primary, inputs);
  if (isRefusal(beside)) return { subject, ...beside, evidenceDigest };

  const { referenceValuesDigest, appraisalPolicyId, spkiDigest } = inputs;
  if (referenceValuesDigest === undefined) {
    return refuse('reference_values_missing', 'no reference values are in force', { subject, evidenceDigest });
  }
  return mintResult([primary, ...beside], { subject, referenceValuesDigest, appraisalPolicyId, evidenceDigest, spkiDigest });
}

/** What of a result counts for one model: reference values may be for some models only. */
export function resultForModel(result: AttestationResult, modelId: ModelId): AttestationResult | Refusal {
  const pieces = result.pieces.map((piece) => ({
    ...piece,
    matched: piece.matched.filter(({ models }) => models === undefined || models.includes(modelId)),
  }));
  const without = pieces.find(({ matched }) => matched.length === 0);
  if (without === undefined) return mintResult(pieces, result);
  return refuse(
    'measurement_mismatch',
    `the reference values that the ${without.kind} evidence matched are for other models`,
    knownFrom(result),
  );
}

/** What a refusal after an affirming appraisal says of it. */
export function knownFrom({ subject, evidenceDigest, appraisalPolicyId, pieces }: AttestationResult): Parameters<typeof refuse>[2] {
  return { subject, evidenceDigest, appraisalPolicyId, appraised: pieces };
}

/** One after the other: what one verifier spends of time and memory is bounded, and so is the sum. */
async function appraiseOthers(
  others: readonly Piece[],
  primary: AppraisedPiece,
  inputs: AppraisalInputs,
): Promise<AppraisedPiece[] | Refusal> {
  if (others.length > 0 && !(primary.proved.fresh && primary.proved.keyBound)) {
    return refuse('evidence_binding_mismatch', 'what stands first answers no challenge, so it cannot vouch for what stands beside it');
  }
  const context = { ...inputs.context, binding: inputs.bindingOf(), role: 'additional' as const };
  const appraised: AppraisedPiece[] = [];
  for (const other of others) {
    const piece = await appraisePiece(other, context, inputs);
    if (isRefusal(piece)) return { ...piece, appraised: [primary, ...appraised] };
    if (isSameDevice(piece, appraised)) return refuse('evidence_malformed', `the same ${piece.kind} is shown twice`);
    appraised.push(piece);
  }
  return appraised;
}

function isSameDevice({ kind, facts }: AppraisedPiece, others: readonly AppraisedPiece[]): boolean {
  return others.some((other) => other.kind === kind && other.facts['deviceId'] === facts['deviceId']);
}

async function appraisePiece(piece: Piece, context: VerificationContext, inputs: AppraisalInputs): Promise<AppraisedPiece | Refusal> {
  const claims = await verifyPiece(piece, context, inputs.verifiers);
  if (isRefusal(claims)) return claims;
  const attester = attesterOf(claims);
  if (claims.facts['debug'] === true) {
    const failed = [{ claim: 'debug', expected: ['false'], seen: 'true' }];
    return refuse('debug_enabled', `the ${piece.kind} evidence is of a debug mode`, { ...(attester && { subject: attester }), failed });
  }
  const matched = matchTrusted(claims, attester, inputs);
  if (isRefusal(matched)) return matched;
  const { kind, facts, endorsements = [] } = claims;
  return { kind, proved: provedBy(claims), ...(attester && { attester }), facts, matched, endorsements };
}

/** Asks the verifier of that kind. Its word counts only for its own kind. */
async function verifyPiece(
  { kind, body }: Piece,
  context: VerificationContext,
  verifiers: AppraisalInputs['verifiers'],
): Promise<VerifiedClaims | Refusal> {
  const verifier = verifiers.get(kind);
  if (verifier === undefined || verifier.kind !== kind) {
    return refuse('evidence_kind_unsupported', 'no verifier of that kind is configured');
  }
  const claims = await verifier.verify(body, context);
  if (!isRefusal(claims) && claims.kind !== kind) throw new Error(`the ${kind} verifier answered about ${claims.kind}`);
  const problems = isRefusal(claims) ? [] : problemsOfFacts(kind, claims.facts);
  if (problems.length > 0) throw new Error(`the ${kind} verifier: ${problems.join(', ')}`);
  return claims;
}

/**
 * An enrolled TPM was endorsed under anchors that were in force then. Without an anchor today nothing endorses it any more;
 * which of several anchors it was is not remembered (docs/formats/enrolment.md). Everything else was just verified under its anchor.
 */
function matchTrusted(claims: VerifiedClaims, subject: EnrolledAttester | undefined, { context, referenceValues, now }: AppraisalInputs) {
  const kind = 'anchoredBy' in claims ? claims.anchoredBy : claims.kind;
  if (!context.anchors.some((anchor) => anchor.kind === kind)) {
    return refuse('endorsement_untrusted', `no trust anchor for ${kind} is in force`, subject && { subject });
  }
  return matchReferenceValues(claims, referenceValues, now);
}

function mintResult(
  pieces: readonly AppraisedPiece[],
  known: Pick<AttestationResult, 'subject' | 'referenceValuesDigest' | 'appraisalPolicyId' | 'evidenceDigest' | 'spkiDigest'>,
): AttestationResult {
  const [primary] = pieces;
  if (primary === undefined) throw new Error('a result without evidence');
  const { subject, referenceValuesDigest, appraisalPolicyId, evidenceDigest, spkiDigest } = known;
  return mint({
    tier: 'affirming' as const,
    pieces,
    kinds: [...new Set(pieces.map(({ kind }) => kind))],
    ...primary.proved,
    subject,
    facts: primary.facts,
    matched: [...new Set(pieces.flatMap(({ matched }) => matched.map(({ id }) => id)))],
    ...{ referenceValuesDigest, appraisalPolicyId, evidenceDigest, spkiDigest },
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

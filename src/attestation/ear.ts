/**
 * The result of an appraisal as an EAT Attestation Result (draft-ietf-rats-ear): stored beside the record that names it by digest, for
 * reviewers and for other tools. Nothing here decides: releases are decided by the AttestationResult itself. docs/formats/ear.md.
 */
import type { AppraisedPiece, Refusal, Tier } from '../domain/evidence.ts';
import { canonicalJson } from '../domain/json.ts';
import { affirmedVector, refusedVector, type TrustVector, tierOf } from './trust-vector.ts';

export const EAR_PROFILE = 'tag:github.com,2023:veraison/ear';
/** Of the rules in this folder: grows when the same evidence would be judged differently. */
const BUILD = 'weight-vault appraisal 1';

/** An AttestationResult, or a refusal and what was appraised before it. */
export interface Appraised {
  readonly pieces: readonly AppraisedPiece[];
  readonly refusal?: Pick<Refusal, 'code' | 'detail' | 'failed'> | undefined;
}

export interface EarContext {
  readonly vaultId: string;
  readonly at: Date;
  /** What reference values and anchors it was appraised by. */
  readonly appraisalPolicyId: string;
  readonly evidenceDigest: string | undefined;
  /** tls-exporter of the connection (RFC 9266), hex. */
  readonly tlsExporter: string | undefined;
}

/** Canonical JSON. Texts of strangers are bounded: facts by their form, details and seen values here. */
export function earOf({ pieces, refusal }: Appraised, context: EarContext): Uint8Array {
  const submods = pieces.map((piece, at): [string, object] => [`${at}-${piece.kind}`, affirmed(piece, context)]);
  return canonicalJson({
    eat_profile: EAR_PROFILE,
    iat: Math.floor(context.at.getTime() / 1000),
    'ear.verifier-id': { developer: 'weight-vault', build: BUILD },
    submods: Object.fromEntries(refusal === undefined ? submods : [...submods, ['refused', refused(refusal, context)]]),
    'weight-vault.vault-id': context.vaultId,
    'weight-vault.evidence-digest': context.evidenceDigest,
    'weight-vault.tls-exporter': context.tlsExporter,
  });
}

function affirmed(piece: AppraisedPiece, { appraisalPolicyId }: EarContext): object {
  const { facts, matched, endorsements, attester, proved } = piece;
  const vector = affirmedVector(piece);
  return {
    ...appraisal(tierOf(vector), vector, appraisalPolicyId),
    'weight-vault.facts': facts,
    'weight-vault.proved': proved,
    'weight-vault.subject': attester?.subjectId,
    'weight-vault.reference-values': matched.map(({ id }) => id),
    'weight-vault.endorsements': endorsements,
  };
}

function refused({ code, detail, failed = [] }: NonNullable<Appraised['refusal']>, { appraisalPolicyId }: EarContext): object {
  const vector = refusedVector({ code });
  return {
    ...appraisal(tierOf(vector), vector, appraisalPolicyId),
    'weight-vault.reason': code,
    'weight-vault.detail': cut(detail, 512),
    'weight-vault.failed': failed.slice(0, 64).map(({ claim, expected, seen }) => ({
      claim: cut(claim, 128),
      expected: expected.map((one) => cut(one, 256)),
      seen: seen === undefined ? undefined : cut(seen, 256),
    })),
  };
}

function appraisal(status: Tier, vector: TrustVector, policyId: string): object {
  return { 'ear.status': status, 'ear.trustworthiness-vector': vector, 'ear.appraisal-policy-id': policyId };
}

/** Well-formed, and no longer than that. */
function cut(text: string, maxChars: number): string {
  return (text.length <= maxChars ? text : `${text.slice(0, maxChars - 1)}…`).toWellFormed();
}

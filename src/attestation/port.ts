/** EvidenceVerifier (vault side) and Attester (requester's side). Suite: test/contract/evidence-verifier.ts. */
import type { EnrolledAttester, EvidenceKind, Refusal, TrustAnchor, VerifiedClaims } from '../domain/evidence.ts';
import type { Namespace } from '../domain/ids.ts';

/** What a verifier may know besides the evidence itself. All of it was verified before: nothing here comes from the requester. */
export interface VerificationContext {
  /** B (docs/formats/evidence-binding.md) that the evidence must carry. */
  readonly binding: Uint8Array;
  readonly now: Date;
  readonly namespace: Namespace;
  /** The enrolled attester holding the attestation key of that name, or undefined. Rejects when the store cannot answer. */
  attester(akName: string): Promise<EnrolledAttester | undefined>;
  readonly anchors: readonly TrustAnchor[];
}

/**
 * Verifies one kind of evidence: structure, signatures, chain of trust, binding. Offline; no I/O but `context.attester`.
 * Resolves with claims, or with a Refusal whose code says what was wrong. Rejects only when it cannot tell.
 * `body` comes from outside: sizes and shape are this method's to check before anything is parsed.
 */
export interface EvidenceVerifier {
  readonly kind: EvidenceKind;
  verify(body: Readonly<Record<string, unknown>>, context: VerificationContext): Promise<VerifiedClaims | Refusal>;
}

/** Runs beside the model server: makes evidence bound to `binding` (B). Rejects with what the hardware said. */
export interface Attester {
  readonly kind: EvidenceKind;
  attest(binding: Uint8Array): Promise<Readonly<Record<string, unknown>>>;
}

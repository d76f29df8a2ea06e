/** EvidenceVerifier (vault side) and Attester (requester's side). Suite: test/contract/evidence-verifier.ts. */
import type { EnrolledAttester, EvidenceKind, Refusal, TrustAnchor, VerifiedClaims } from '../domain/evidence.ts';
import type { Namespace } from '../domain/ids.ts';

/** What a verifier may know besides the evidence itself. All of it was verified before: nothing here comes from the requester. */
export interface VerificationContext {
  /** B (docs/formats/evidence-binding.md) that the evidence must carry. */
  readonly binding: Uint8Array;
  /** DER SubjectPublicKeyInfo of the TLS key that asks; it is inside `binding` too. */
  readonly spki: Uint8Array;
  readonly now: Date;
  readonly namespace: Namespace;
  /** The enrolled attester of that key (`attesterKeyOf`), or undefined. Rejects when the store cannot answer. */
  attester(attesterKey: string): Promise<EnrolledAttester | undefined>;
  /** True exactly once per issuer and token id, on whichever node, until `expiresAt`. For tokens that answer no challenge. */
  spendTokenId(issuer: string, tokenId: string, expiresAt: Date): Promise<boolean>;
  readonly anchors: readonly TrustAnchor[];
}

/**
 * Verifies one kind of evidence: structure, signatures, chain of trust, binding. No I/O but through `context`, and none to anybody else
 * unless a trust anchor of ours says so (the key set of an issuer).
 * Resolves with claims, or with a Refusal whose code says what was wrong. Rejects only when it cannot tell.
 * `body` comes from outside: sizes and shape are this method's to check before anything is parsed.
 */
export interface EvidenceVerifier<Claims extends VerifiedClaims = VerifiedClaims> {
  readonly kind: Claims['kind'];
  verify(body: Readonly<Record<string, unknown>>, context: VerificationContext): Promise<Claims | Refusal>;
}

/** Runs beside the model server: makes evidence bound to `binding` (B). Rejects with what the hardware said. */
export interface Attester {
  readonly kind: EvidenceKind;
  attest(binding: Uint8Array): Promise<Readonly<Record<string, unknown>>>;
}

/** RFC 9334 words: what an Attester shows (Evidence) and what an appraisal earns (AttestationResult). */

import type { AppraisedPiece } from './attestation-result.ts';
import type { EnrolledAttester } from './attester.ts';
import { lp, sha256, sha256Hex, sha512, toHex } from './bytes.ts';
import type { ErrorCode } from './errors.ts';
import type { Digest, VaultId } from './ids.ts';
import { canonicalJson } from './json.ts';

export {
  type AppraisedPiece,
  type AttestationResult,
  attesterOf,
  type Endorsement,
  type Proved,
  type Tier,
  type VerifiedClaims,
  type VerifiedGpu,
  type VerifiedJwt,
  type VerifiedTpm2,
  type VerifiedWorkload,
} from './attestation-result.ts';
export {
  attesterKeyOf,
  type EnrolledAttester,
  type EnrolledJwt,
  type EnrolledTpm2,
  type EnrolledWorkload,
  isWorkloadKind,
  jwtAttesterKey,
  tpm2AttesterKey,
  WORKLOAD_KINDS,
  type WorkloadIdentity,
  type WorkloadKind,
  workloadAttesterKey,
} from './attester.ts';
export type {
  JwtReferenceValue,
  MeasuredKind,
  MeasuredReferenceValue,
  PcrBanks,
  ReferenceValue,
  Tpm2ReferenceValue,
} from './reference-value.ts';
export type { ClaimPath, JwtAnchor, RootedKind, SpiffeAnchor, Tpm2Anchor, TrustAnchor, VendorRootAnchor } from './trust-anchor.ts';

/** Kinds of evidence there are. What each can prove: attestation/kinds.ts; what each can say: domain/facts.ts. */
export const EVIDENCE_KINDS = ['tpm2', 'jwt', 'sev-snp', 'tdx', 'nitro', 'nvidia-gpu', 'spiffe'] as const;
export type EvidenceKind = (typeof EVIDENCE_KINDS)[number];

/** Evidence as it arrives: its kind and the JSON members of that kind, not yet believed. */
export interface Evidence {
  readonly kind: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** A TLS public key as it is compared everywhere: SHA-256 of its DER SubjectPublicKeyInfo. */
export type SpkiDigest = Digest;

/** What evidence must be bound to (docs/formats/evidence-binding.md). */
export interface BindingInputs {
  readonly vaultId: VaultId;
  /** 32 random bytes of the spent challenge. */
  readonly challengeNonce: Uint8Array;
  /** DER SubjectPublicKeyInfo of the client's TLS key. */
  readonly spki: Uint8Array;
  /** Raw HPKE public key, when delivery is sealed. */
  readonly hpkePublicKey?: Uint8Array;
  /** SHA-256 of the additional evidence list, when there is one. */
  readonly additionalEvidenceDigest?: Uint8Array;
}

/** B of docs/formats/evidence-binding.md. Where it goes depends on the kind: `tpm2` puts SHA-256(B) into extraData. */
export function evidenceBinding(inputs: BindingInputs): Uint8Array {
  return lp(
    'weight-vault binding v1',
    inputs.vaultId,
    inputs.challengeNonce,
    inputs.spki,
    inputs.hpkePublicKey,
    inputs.additionalEvidenceDigest,
  );
}

export function tpm2ExtraData(binding: Uint8Array): Uint8Array {
  return sha256(binding);
}

/** All 64 bytes of report data of `sev-snp` and `tdx`, and of the user data of `nitro`. Never padded, never cut. */
export function teeReportData(binding: Uint8Array): Uint8Array {
  return sha512(binding);
}

/** The SPDM nonce of `nvidia-gpu`, 32 bytes. It has no room for B: the bytes of the GPU's evidence are in the B of the machine's. */
export function gpuNonce({ challengeNonce, spki }: Pick<BindingInputs, 'challengeNonce' | 'spki'>): Uint8Array {
  return sha256(lp('weight-vault gpu v1', challengeNonce, spki));
}

/** SHA-256 of the canonical JSON of every piece but the first; undefined when there is only one. Throws for what has no canonical form. */
export function additionalEvidenceDigest([, ...additional]: readonly Evidence[]): Uint8Array | undefined {
  return additional.length === 0 ? undefined : sha256(canonicalJson(additional));
}

/** What a token says in its nonce claim when it answers a challenge: base64url(SHA-256(B)), 43 characters. */
export function jwtNonce(binding: Uint8Array): string {
  return Buffer.from(sha256(binding)).toString('base64url');
}

/** The same for a service that takes hexadecimal alone, as NVIDIA's does: 64 lower-case digits. */
export function jwtNonceHex(binding: Uint8Array): string {
  return sha256Hex(binding);
}

/** A refusal is a value: the stage that refused, its code, and what is known about who asked. */
export interface Refusal {
  readonly refused: true;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly subject?: EnrolledAttester;
  readonly evidenceDigest?: Digest;
  /** For the administrator who has to find out; the requester is told only the code. */
  readonly failed?: readonly FailedClaim[];
  /** Pieces that had been affirmed before. */
  readonly appraised?: readonly AppraisedPiece[];
  readonly appraisalPolicyId?: string;
}

export interface FailedClaim {
  readonly claim: string;
  readonly expected: readonly string[];
  /** Absent when the evidence says nothing of it. */
  readonly seen?: string;
}

/** Two texts of bytes that should be equal. */
export function failedBytes(claim: string, expected: Uint8Array, seen: Uint8Array | null | undefined): readonly FailedClaim[] {
  return [{ claim, expected: [toHex(expected)], ...(seen && { seen: toHex(seen) }) }];
}

/** What an examination by its own words found wrong with `what`. */
export function failedFindings(what: string, findings: readonly string[]): readonly FailedClaim[] {
  return [{ claim: what, expected: ['authentic'], seen: findings.join(', ') }];
}

export function failedClaim(claim: string, expected: string | readonly string[], seen?: string): readonly FailedClaim[] {
  return [{ claim, expected: typeof expected === 'string' ? [expected] : expected, ...(seen !== undefined && { seen }) }];
}

export function refuse(code: ErrorCode, detail: string, known: Omit<Refusal, 'refused' | 'code' | 'detail'> = {}): Refusal {
  return { refused: true, code, detail, ...known };
}

export function isRefusal(value: object): value is Refusal {
  return 'refused' in value && value.refused === true;
}

/** What verification proves (VerifiedClaims), and what an appraisal earns out of it (AttestationResult, RFC 9334 section 8.4). */
import type { EnrolledAttester, EnrolledJwt, EnrolledTpm2, EnrolledWorkload, WorkloadKind } from './attester.ts';
import type { Earned } from './earned.ts';
import type { EvidenceKind, SpkiDigest } from './evidence.ts';
import type { Facts } from './facts.ts';
import type { Digest } from './ids.ts';
import type { PcrBanks } from './reference-value.ts';

/** What a class may ask of evidence (domain/classes.ts). */
export interface Proved {
  readonly fresh: boolean;
  readonly keyBound: boolean;
  readonly hardware: boolean;
  readonly tee: boolean;
}

/** Something of the maker's that the verdict stood on: a certificate, a revocation list, TCB information, signed measurements. */
export interface Endorsement {
  /** Such as "VCEK", "PCK CRL", "TCB info", "driver RIM". */
  readonly what: string;
  /** SHA-256 of its bytes. */
  readonly digest: Digest;
  /** ISO times between which its maker says it counts. */
  readonly notBefore?: string | undefined;
  readonly notAfter?: string | undefined;
}

export interface VerifiedTpm2 {
  readonly kind: 'tpm2';
  readonly attester: EnrolledTpm2 | EnrolledWorkload;
  readonly pcrs: PcrBanks;
  readonly facts: Facts;
  /** Where a hardware report vouches for the key, and not a trust anchor for TPMs: the kind of the report's. */
  readonly anchoredBy?: 'sev-snp' | 'tdx';
  readonly proved?: Proved;
  readonly endorsements?: readonly Endorsement[];
}

export interface VerifiedJwt {
  readonly kind: 'jwt';
  readonly attester: EnrolledJwt;
  /** What this token and its anchor prove. */
  readonly proved: Proved;
  /** The claims its anchor maps, as text. */
  readonly facts: Facts;
  readonly endorsements?: readonly Endorsement[];
}

/** A guest of a TEE, or a SPIFFE workload: known by one of its own facts. `facts` are those of domain/facts.ts, all that are not optional. */
export interface VerifiedWorkload<K extends Exclude<WorkloadKind, 'tpm2'> = Exclude<WorkloadKind, 'tpm2'>> {
  readonly kind: K;
  readonly attester: EnrolledWorkload;
  /** Where the kind does not decide it alone (attestation/kinds.ts). */
  readonly proved?: Proved;
  readonly facts: Facts;
  readonly endorsements?: readonly Endorsement[];
}

/** A GPU: never a requester by itself, only beside the evidence of the machine it is in. */
export interface VerifiedGpu {
  readonly kind: 'nvidia-gpu';
  readonly facts: Facts;
  readonly endorsements?: readonly Endorsement[];
}

/** What verification of one piece of evidence proved, before reference values are consulted. */
export type VerifiedClaims = VerifiedTpm2 | VerifiedJwt | VerifiedWorkload | VerifiedGpu;

export function attesterOf(claims: VerifiedClaims): EnrolledAttester | undefined {
  return claims.kind === 'nvidia-gpu' ? undefined : claims.attester;
}

/** AR4SI tiers. */
export type Tier = 'affirming' | 'warning' | 'contraindicated' | 'none';

/** One piece of evidence as it was appraised. */
export interface AppraisedPiece {
  readonly kind: EvidenceKind;
  readonly proved: Proved;
  /** Absent for a device that is no requester. */
  readonly attester?: EnrolledAttester;
  readonly facts: Facts;
  /** Reference values that it matched, with the ids of the models each is good for; absent: all of the namespace. */
  readonly matched: ReadonlyArray<{ readonly id: string; readonly models?: readonly string[] | undefined }>;
  readonly endorsements: readonly Endorsement[];
}

/** The appraisal of everything a request showed. Made only by attestation/appraise.ts. */
export type AttestationResult = Earned<'AttestationResult'> & {
  readonly tier: 'affirming';
  /** The first says who asks and what the class may count on; the others add facts. */
  readonly pieces: readonly AppraisedPiece[];
  readonly kinds: readonly EvidenceKind[];
  readonly fresh: boolean;
  readonly keyBound: boolean;
  readonly hardware: boolean;
  readonly tee: boolean;
  readonly subject: EnrolledAttester;
  readonly spkiDigest: SpkiDigest;
  /** Ids of the reference values that any piece matched. */
  readonly matched: readonly string[];
  readonly referenceValuesDigest: Digest;
  /** Names the reference values and trust anchors that it was appraised by, with their counters. */
  readonly appraisalPolicyId: string;
  /** SHA-256 of the canonical JSON of the evidence list. */
  readonly evidenceDigest: Digest;
  /** Of the first piece. */
  readonly facts: Facts;
};

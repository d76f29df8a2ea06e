/** RFC 9334 words: what an Attester shows (Evidence) and what an appraisal earns (AttestationResult). */
import { lp, sha256 } from './bytes.ts';
import type { Earned } from './earned.ts';
import type { ErrorCode } from './errors.ts';
import type { Digest, Namespace, SubjectId, VaultId } from './ids.ts';

/** Kinds of evidence this vault verifies. Facts of each: attestation/kinds.ts. */
export type EvidenceKind = 'tpm2';

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

/** PCR values by bank and index: {"sha256": {"0": "<hex>"}}. */
export type PcrBanks = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** One accepted state of a machine. Every PCR named here must be in the quote with one of these values. */
export interface ReferenceValue {
  readonly id: string;
  readonly kind: EvidenceKind;
  readonly pcrs: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  /** ISO time after which it no longer counts. */
  readonly expires?: string;
}

/** A root certificate that endorsements of a kind may lead to. */
export interface TrustAnchor {
  readonly kind: EvidenceKind;
  readonly name: string;
  /** base64 DER. */
  readonly certificate: string;
}

/** A requester enrolled by credential activation: the attestation key it proved to hold, and who it is. */
export interface EnrolledAttester {
  readonly subjectId: SubjectId;
  readonly namespace: Namespace;
  readonly name: string;
  readonly kind: EvidenceKind;
  /** TPM name of the attestation key (TPM 2.0 part 1, 16): algorithm and digest of its public area, hex. */
  readonly akName: string;
  /** SHA-256 of the endorsement key certificate. */
  readonly ekCertificateDigest: Digest;
  readonly attributes: Readonly<Record<string, string>>;
}

/** What verification of one piece of evidence proved, before reference values are consulted. */
export interface VerifiedClaims {
  readonly kind: EvidenceKind;
  readonly attester: EnrolledAttester;
  readonly pcrs: PcrBanks;
  /** TPM clock, reset and restart counters and firmware version, as text: recorded, and usable in policies. */
  readonly facts: Readonly<Record<string, string>>;
}

/** AR4SI tiers. */
export type Tier = 'affirming' | 'warning' | 'contraindicated' | 'none';

/** The appraisal of everything a request showed. Made only by attestation/appraise.ts. */
export type AttestationResult = Earned<'AttestationResult'> & {
  readonly tier: 'affirming';
  readonly kinds: readonly EvidenceKind[];
  readonly fresh: boolean;
  readonly keyBound: boolean;
  readonly hardware: boolean;
  readonly tee: boolean;
  readonly subject: EnrolledAttester;
  readonly spkiDigest: SpkiDigest;
  /** Ids of the reference values that matched. */
  readonly matched: readonly string[];
  readonly referenceValuesDigest: Digest;
  /** SHA-256 of the canonical JSON of the evidence list. */
  readonly evidenceDigest: Digest;
  readonly facts: Readonly<Record<string, string>>;
};

/** A refusal is a value: the stage that refused, its code, and what is known about who asked. */
export interface Refusal {
  readonly refused: true;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly subject?: EnrolledAttester;
  readonly evidenceDigest?: Digest;
}

export function refuse(code: ErrorCode, detail: string, known: Pick<Refusal, 'subject' | 'evidenceDigest'> = {}): Refusal {
  return { refused: true, code, detail, ...known };
}

export function isRefusal(value: object): value is Refusal {
  return 'refused' in value && value.refused === true;
}

/** RFC 9334 words: what an Attester shows (Evidence) and what an appraisal earns (AttestationResult). */
import { lp, sha256, sha256Hex } from './bytes.ts';
import type { Earned } from './earned.ts';
import type { ErrorCode } from './errors.ts';
import type { Digest, Namespace, SubjectId, VaultId } from './ids.ts';
import type { JwsAlgorithm, PublicJwk } from './jwk.ts';

/** Kinds of evidence this vault verifies. Facts of each: attestation/kinds.ts. */
export type EvidenceKind = 'tpm2' | 'jwt';

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

/** What a token says in its nonce claim when it answers a challenge: base64url(SHA-256(B)), 43 characters. */
export function jwtNonce(binding: Uint8Array): string {
  return Buffer.from(sha256(binding)).toString('base64url');
}

/** PCR values by bank and index: {"sha256": {"0": "<hex>"}}. */
export type PcrBanks = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** One accepted state of a machine. Every PCR named here must be in the quote with one of these values. */
export interface Tpm2ReferenceValue {
  readonly id: string;
  readonly kind: 'tpm2';
  readonly pcrs: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  /** ISO time after which it no longer counts. */
  readonly expires?: string | undefined;
}

/** Accepted claims of one issuer. Every claim named here (as its anchor maps it) must be in the token with one of these values. */
export interface JwtReferenceValue {
  readonly id: string;
  readonly kind: 'jwt';
  readonly issuer: string;
  readonly claims: Readonly<Record<string, readonly string[]>>;
  readonly expires?: string | undefined;
}

export type ReferenceValue = Tpm2ReferenceValue | JwtReferenceValue;

/** A root certificate that endorsements of TPMs may lead to. */
export interface Tpm2Anchor {
  readonly kind: 'tpm2';
  readonly name: string;
  /** base64 DER. */
  readonly certificate: string;
}

/** Where something stands in a token: the names of the members on the way to it. */
export type ClaimPath = readonly string[];

/** An issuer whose tokens count, and what its signature over one means (docs/formats/evidence-jwt.md). */
export interface JwtAnchor {
  readonly kind: 'jwt';
  readonly name: string;
  /** Compared with `iss` character by character. */
  readonly issuer: string;
  /** Must be in `aud`. Only an issuer whose tokens answer a nonce may do without: the nonce names this vault. */
  readonly audience?: string | undefined;
  /** The issuer's keys, signed with this document; or where it publishes them. Exactly one of the two. */
  readonly jwks?: { readonly keys: readonly PublicJwk[] } | undefined;
  readonly jwksUrl?: string | undefined;
  /** PEM: the only authority `jwksUrl` is believed under. Absent: the roots of the system. */
  readonly jwksCa?: string | undefined;
  readonly algorithms: readonly JwsAlgorithm[];
  /** Header `typ` must be this. Absent: `JWT`, or no `typ`. */
  readonly typ?: string | undefined;
  /** Tokens of this issuer carry a key, or an address of one, in their header: it is ignored. Absent: such a token is refused. */
  readonly headerKeys?: 'ignored' | undefined;
  /** `iat` must not be older. */
  readonly maxAgeSeconds?: number | undefined;
  /** Where the nonce is. Absent: the token is identity only, and each is good once. */
  readonly nonceClaim?: ClaimPath | undefined;
  /** Who it is about; absent: `sub`. */
  readonly subjectClaim?: ClaimPath | undefined;
  /** Our names for claims: facts for policies and reference values. */
  readonly claims: Readonly<Record<string, ClaimPath>>;
  /** What two people say of this issuer: it signs only for machines whose hardware (a TPM or a TEE) it has verified. */
  readonly hardware?: true | undefined;
  /** Only for TEEs. */
  readonly tee?: true | undefined;
}

export type TrustAnchor = Tpm2Anchor | JwtAnchor;

interface Enrolled {
  readonly subjectId: SubjectId;
  readonly namespace: Namespace;
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** A requester enrolled by credential activation: the attestation key it proved to hold. */
export type EnrolledTpm2 = Enrolled & {
  readonly kind: 'tpm2';
  /** TPM name of the attestation key (TPM 2.0 part 1, 16): algorithm and digest of its public area, hex. */
  readonly akName: string;
  /** SHA-256 of the endorsement key certificate. */
  readonly ekCertificateDigest: Digest;
};

/** A requester that an issuer vouches for under this subject. */
export type EnrolledJwt = Enrolled & { readonly kind: 'jwt'; readonly issuer: string; readonly subject: string };

/** Who is enrolled, and by what it is known. */
export type EnrolledAttester = EnrolledTpm2 | EnrolledJwt;

export const tpm2AttesterKey = (akName: string) => `tpm2:${akName}`;
/** Throws `request_invalid` for text that is not well-formed. Texts that differ only in their normal form have one key: compare them too. */
export const jwtAttesterKey = (issuer: string, subject: string) => `jwt:${sha256Hex(lp(issuer, subject))}`;

/** What an enrolled attester is found by. */
export function attesterKeyOf(attester: AttesterIdentity): string {
  return attester.kind === 'tpm2' ? tpm2AttesterKey(attester.akName) : jwtAttesterKey(attester.issuer, attester.subject);
}
type AttesterIdentity = Pick<EnrolledTpm2, 'kind' | 'akName'> | Pick<EnrolledJwt, 'kind' | 'issuer' | 'subject'>;

/** What a class may ask of evidence (domain/classes.ts). */
export interface Proved {
  readonly fresh: boolean;
  readonly keyBound: boolean;
  readonly hardware: boolean;
  readonly tee: boolean;
}

export interface VerifiedTpm2 {
  readonly kind: 'tpm2';
  readonly attester: EnrolledTpm2;
  readonly pcrs: PcrBanks;
  /** TPM clock, reset and restart counters and firmware version, as text: recorded, and usable in policies. */
  readonly facts: Readonly<Record<string, string>>;
}

export interface VerifiedJwt {
  readonly kind: 'jwt';
  readonly attester: EnrolledJwt;
  /** What this token and its anchor prove. */
  readonly proved: Proved;
  /** The claims its anchor maps, as text. */
  readonly facts: Readonly<Record<string, string>>;
}

/** What verification of one piece of evidence proved, before reference values are consulted. */
export type VerifiedClaims = VerifiedTpm2 | VerifiedJwt;

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

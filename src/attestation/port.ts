/** EvidenceVerifier (vault side) and Attester (requester's side). Suite: test/contract/evidence-verifier.ts. */
import type {
  Endorsement,
  EnrolledAttester,
  EvidenceKind,
  MeasuredKind,
  Refusal,
  TrustAnchor,
  VerifiedClaims,
} from '../domain/evidence.ts';
import type { Facts } from '../domain/facts.ts';
import type { Digest, Namespace } from '../domain/ids.ts';

/** What a verifier may know besides the evidence itself. All of it was verified before: nothing here comes from the requester. */
export interface VerificationContext {
  /** `additional`: beside the piece that says who asks. The same challenge and key, but B without an additional evidence list. */
  readonly role: 'primary' | 'additional';
  /** B (docs/formats/evidence-binding.md) that the evidence must carry. */
  readonly binding: Uint8Array;
  /** 32 random bytes of the spent challenge; inside `binding` too. For kinds that carry it by itself. */
  readonly challengeNonce: Uint8Array;
  /** DER SubjectPublicKeyInfo of the TLS key that asks; it is inside `binding` too. */
  readonly spki: Uint8Array;
  readonly now: Date;
  readonly namespace: Namespace;
  /** The enrolled attester of that key (`attesterKeyOf`), or undefined. Rejects when the store cannot answer. */
  attester(attesterKey: string): Promise<EnrolledAttester | undefined>;
  /** True exactly once per issuer and token id, on whichever node, until `expiresAt`. For tokens that answer no challenge. */
  spendTokenId(issuer: string, tokenId: string, expiresAt: Date): Promise<boolean>;
  readonly anchors: readonly TrustAnchor[];
  /** What the makers of hardware publish, as the vault keeps it. Never from the requester, never asked of the maker now. */
  readonly collateral: CollateralReader;
}

/**
 * Publications of makers that verdicts need. Certificates may come with the evidence too. Revocation lists, TCB information and RIMs may not:
 * whoever brings them would choose how old they are.
 */
export interface CollateralReader {
  /** The newest of that type and key; undefined when the vault has none. Its signature and dates are the verifier's to check. */
  find(type: CollateralType, key: string): Promise<Collateral | undefined>;
}

/**
 * What is kept, and the key it is found by (hex is lower-case):
 * amd-vcek      DER certificate of one chip and TCB     product/chip id in hex/reported TCB in hex
 * amd-chain     PEM: ASK or ASVK, then ARK              product/VCEK or product/VLEK
 * amd-crl       DER list of the ARK                     product
 * tdx-collateral  JSON: TCB info, QE identity, their signatures and issuer chains, both revocation lists    FMSPC in hex
 * nvidia-rim    XML, signed                             id of the RIM, as its file has it
 * x509-crl      list of another authority, DER or PEM   SHA-256 of the authority's SubjectPublicKeyInfo in hex
 */
export const COLLATERAL_TYPES = ['amd-vcek', 'amd-chain', 'amd-crl', 'tdx-collateral', 'nvidia-rim', 'x509-crl'] as const;
export type CollateralType = (typeof COLLATERAL_TYPES)[number];

export interface Collateral {
  readonly type: CollateralType;
  readonly key: string;
  readonly bytes: Uint8Array;
  /** SHA-256 of `bytes`. */
  readonly digest: Digest;
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
  /**
   * What `bytes` are, when they are something that this kind's verdicts use and lead to one of `roots` (DER) by their signatures, whatever
   * their dates; undefined for anything else. Bounds them first and never throws for them. `name` is what its maker calls the file, without
   * folder and ending: some publications do not say themselves what they are.
   */
  readonly identifyCollateral?: (bytes: Uint8Array, name: string, roots: readonly Uint8Array[]) => IdentifiedCollateral | undefined;
}

/**
 * Verifies a hardware report that stands inside evidence of another kind, under the anchors of its own, but for what its report data must be and
 * whose it is. Resolves and rejects as an EvidenceVerifier.
 */
export type ReportCheck = (body: Readonly<Record<string, unknown>>, context: VerificationContext) => Promise<VerifiedReport | Refusal>;

/** By the kind of the report. */
export type ReportChecks = Readonly<Record<'sev-snp' | 'tdx', ReportCheck>>;

export interface VerifiedReport {
  readonly reportData: Uint8Array;
  /** Of the report's own kind. */
  readonly facts: Facts;
  readonly endorsements: readonly Endorsement[];
}

/** The dates are the maker's. `expiresAt` is absent for what does not expire. */
export interface IdentifiedCollateral extends Pick<Collateral, 'type' | 'key'> {
  readonly issuedAt: Date;
  readonly expiresAt?: Date | undefined;
  /** Numbers of the maker that never fall, by what they count: evaluation numbers, numbers of lists. */
  readonly counters?: Readonly<Record<string, number>> | undefined;
}

/** What a requester answers: both are inside B. For kinds that carry the nonce by itself, or have no room for B. */
export interface AnsweredChallenge {
  /** 32 bytes, as the vault sent them. */
  readonly challengeNonce: Uint8Array;
  /** DER SubjectPublicKeyInfo of the TLS key that asks. */
  readonly spki: Uint8Array;
}

/** What a reference value for a machine in this state would name. Nothing was verified: whoever puts it in force vouches for the machine. */
export interface CapturedState {
  readonly kind: MeasuredKind;
  readonly claims: Readonly<Record<string, readonly string[]>>;
  readonly atLeast?: Readonly<Record<string, number>>;
}

type Body = Readonly<Record<string, unknown>>;

/** Runs beside the model server: makes evidence bound to `binding` (B). Rejects with what the hardware said. */
export interface Attester {
  readonly kind: EvidenceKind;
  attest(binding: Uint8Array, challenge: AnsweredChallenge): Promise<Body>;
  /** The state of this machine now. Absent: evidence of the kind says nothing that was measured, or not in this form. */
  readonly capture?: (binding: Uint8Array, challenge: AnsweredChallenge) => Promise<CapturedState>;
}

/** The same for devices beside the machine that asks: one body each, made before the machine's own evidence, whose B carries their digest. */
export interface DeviceAttester {
  readonly kind: EvidenceKind;
  attestDevices(challenge: AnsweredChallenge): Promise<readonly Body[]>;
  /** One for each state that some of the devices are in. */
  readonly captureDevices?: (challenge: AnsweredChallenge) => Promise<readonly CapturedState[]>;
}

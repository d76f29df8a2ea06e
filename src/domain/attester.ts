/** Who is enrolled, and by what evidence finds it again. Decision 10 says why a TEE guest is known by what its hardware states. */
import { lp, sha256Hex } from './bytes.ts';
import type { Digest, Namespace, SubjectId } from './ids.ts';

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

/**
 * Kinds whose requesters may be known by one fact that their hardware, their cloud, or their trust domain, states. A TPM that cannot activate
 * a credential, because a cloud certifies its attestation key, is one too.
 */
export const WORKLOAD_KINDS = ['tpm2', 'sev-snp', 'tdx', 'nitro', 'spiffe'] as const;
export type WorkloadKind = (typeof WORKLOAD_KINDS)[number];

/** One fact of domain/facts.ts that `identifies`, and its value as `factText` writes it. */
export interface WorkloadIdentity {
  readonly fact: string;
  readonly value: string;
}
export type EnrolledWorkload = Enrolled & { readonly kind: WorkloadKind; readonly identity: WorkloadIdentity };

export type EnrolledAttester = EnrolledTpm2 | EnrolledJwt | EnrolledWorkload;

export const tpm2AttesterKey = (akName: string) => `tpm2:${akName}`;
/** Throws `request_invalid` for text that is not well-formed. Texts that differ only in their normal form have one key: compare them too. */
export const jwtAttesterKey = (issuer: string, subject: string) => `jwt:${sha256Hex(lp(issuer, subject))}`;
export const workloadAttesterKey = (kind: WorkloadKind, { fact, value }: WorkloadIdentity) => `${kind}:${sha256Hex(lp(fact, value))}`;

/** What an enrolled attester is found by. */
export function attesterKeyOf(attester: AttesterIdentity): string {
  if (attester.kind === 'jwt') return jwtAttesterKey(attester.issuer, attester.subject);
  if ('akName' in attester) return tpm2AttesterKey(attester.akName);
  return workloadAttesterKey(attester.kind, attester.identity);
}
type AttesterIdentity =
  | Pick<EnrolledTpm2, 'kind' | 'akName'>
  | Pick<EnrolledJwt, 'kind' | 'issuer' | 'subject'>
  | Pick<EnrolledWorkload, 'kind' | 'identity'>;

export function isWorkloadKind(kind: string): kind is WorkloadKind {
  return (WORKLOAD_KINDS as readonly string[]).includes(kind);
}

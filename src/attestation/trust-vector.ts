/** AR4SI: what an appraisal says in words that other verifiers share (draft-ietf-rats-ar4si-09, section 2.3.4). A relying party's normal form, not ours to decide by. */
import type { AppraisedPiece, EvidenceKind, Refusal, Tier } from '../domain/evidence.ts';

/** 0 none, 1 unexpected evidence; 2 to 31 affirming; 32 to 95 warning; 96 to 127 contraindicated; 99 a signature that does not verify. */
export interface TrustVector {
  readonly 'instance-identity'?: number;
  readonly configuration?: number;
  readonly executables?: number;
  readonly hardware?: number;
  readonly 'runtime-opaque'?: number;
}

const RECOGNIZED = 2;
const GENUINE = 2;
const APPROVED = 2;
const APPROVED_AT_BOOT = 3;
const ENCRYPTED_MEMORY = 2;
const SIGNATURE_FAILED = 99;

/** A TPM says nothing of who can read memory, so there is no claim. An issuer's word about a machine is its own. */
const MEASURED_TEE: TrustVector = {
  'instance-identity': RECOGNIZED,
  configuration: APPROVED,
  executables: APPROVED_AT_BOOT,
  hardware: GENUINE,
  'runtime-opaque': ENCRYPTED_MEMORY,
};
const AFFIRMED: Readonly<Record<EvidenceKind, TrustVector>> = {
  tpm2: { 'instance-identity': RECOGNIZED, executables: APPROVED_AT_BOOT, hardware: GENUINE },
  'sev-snp': MEASURED_TEE,
  tdx: MEASURED_TEE,
  nitro: MEASURED_TEE,
  'nvidia-gpu': { configuration: APPROVED, executables: APPROVED_AT_BOOT, hardware: GENUINE, 'runtime-opaque': ENCRYPTED_MEMORY },
  jwt: { 'instance-identity': RECOGNIZED },
  spiffe: { 'instance-identity': RECOGNIZED },
};

export function affirmedVector({ kind, proved }: Pick<AppraisedPiece, 'kind' | 'proved'>): TrustVector {
  if (kind === 'jwt' && proved.hardware) return { ...AFFIRMED.jwt, hardware: GENUINE };
  return kind === 'tpm2' && proved.tee ? { ...AFFIRMED.tpm2, 'runtime-opaque': ENCRYPTED_MEMORY } : AFFIRMED[kind];
}

/** What a refusal comes to, as far as it says anything of the machine: a challenge that was spent says nothing. */
const REFUSED: Partial<Record<Refusal['code'], TrustVector>> = {
  evidence_signature_invalid: { 'instance-identity': SIGNATURE_FAILED },
  evidence_binding_mismatch: { 'instance-identity': 96 }, // not this instance: evidence of another key or challenge
  attester_key_unknown: { 'instance-identity': 97 }, // not recognized
  attester_ambiguous: { 'instance-identity': 97 },
  endorsement_untrusted: { hardware: 97 }, // not recognized
  attester_key_unsuitable: { hardware: 97 },
  tcb_unacceptable: { hardware: 32 }, // genuine, with vulnerabilities known
  measurement_mismatch: { executables: 33 }, // not recognized
  debug_enabled: { configuration: 96, 'runtime-opaque': 96 },
};

export function refusedVector({ code }: Pick<Refusal, 'code'>): TrustVector {
  return REFUSED[code] ?? {};
}

/** The worst that any claim says (draft-ietf-rats-ear, section 3.2): a status must not be better than its vector. */
export function tierOf(vector: TrustVector): Tier {
  const worst = Math.max(0, ...Object.values(vector));
  if (worst >= 96) return 'contraindicated';
  if (worst >= 32) return 'warning';
  return worst >= 2 ? 'affirming' : 'none';
}

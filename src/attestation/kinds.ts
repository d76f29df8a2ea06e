/** What each kind of evidence can prove. Classes ask for these facts (domain/classes.ts); docs/formats/evidence-binding.md has the same table. */
import type { EvidenceKind } from '../domain/evidence.ts';

export interface KindFacts {
  /** It answers a challenge of ours. */
  readonly fresh: boolean;
  /** It carries the requester's TLS key. */
  readonly keyBound: boolean;
  /** It was signed by hardware: a TPM or a TEE. */
  readonly hardware: boolean;
  /** The signer isolates what it measured from the machine's administrator. */
  readonly tee: boolean;
  /** Upper bound of one body's canonical JSON, bytes. The largest honest tpm2 body (RSA-4096, three banks of 24 PCRs) is below 9 KiB. */
  readonly maxBodyBytes: number;
}

export const KINDS: Readonly<Record<EvidenceKind, KindFacts>> = {
  tpm2: { fresh: true, keyBound: true, hardware: true, tee: false, maxBodyBytes: 16_384 },
};

/** Narrows a kind named by a stranger; `Object.hasOwn`, so that "constructor" is no kind. */
export function isEvidenceKind(kind: string): kind is EvidenceKind {
  return Object.hasOwn(KINDS, kind);
}

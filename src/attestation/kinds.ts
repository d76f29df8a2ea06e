/** What each kind of evidence can prove. Classes ask for these facts (domain/classes.ts); docs/evidence-kinds.md has the same table. */
import type { EvidenceKind, Proved, VerifiedClaims } from '../domain/evidence.ts';

/** `anchor`: the trust anchor of its issuer decides, so two people signed it; and the token must live up to it. */
export type Proof = 'always' | 'never' | 'anchor';

export interface KindFacts {
  /** It answers a challenge of ours. */
  readonly fresh: Proof;
  /** It carries the requester's TLS key. */
  readonly keyBound: Proof;
  /** It was signed by hardware: a TPM or a TEE. */
  readonly hardware: Proof;
  /** The signer isolates what it measured from the machine's administrator. */
  readonly tee: Proof;
  /** Upper bound of one body's canonical JSON, bytes. The largest honest tpm2 body (RSA-4096, three banks of 24 PCRs) is below 9 KiB. */
  readonly maxBodyBytes: number;
}

export const KINDS: Readonly<Record<EvidenceKind, KindFacts>> = {
  tpm2: { fresh: 'always', keyBound: 'always', hardware: 'always', tee: 'never', maxBodyBytes: 16_384 },
  jwt: { fresh: 'anchor', keyBound: 'anchor', hardware: 'anchor', tee: 'anchor', maxBodyBytes: 65_600 },
};

/** Narrows a kind named by a stranger; `Object.hasOwn`, so that "constructor" is no kind. */
export function isEvidenceKind(kind: string): kind is EvidenceKind {
  return Object.hasOwn(KINDS, kind);
}

/** What this piece proved: what its kind always does, or where that depends, what its verifier found. */
export function provedBy(claims: VerifiedClaims): Proved {
  const { fresh, keyBound, hardware, tee } = KINDS[claims.kind];
  const found = claims.kind === 'jwt' ? claims.proved : undefined;
  const of = (proof: Proof, what: keyof Proved) => proof === 'always' || (proof === 'anchor' && found?.[what] === true);
  return { fresh: of(fresh, 'fresh'), keyBound: of(keyBound, 'keyBound'), hardware: of(hardware, 'hardware'), tee: of(tee, 'tee') };
}

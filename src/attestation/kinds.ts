/** What each kind of evidence can prove. Classes ask for these facts (domain/classes.ts); docs/evidence-kinds.md has the same table. */
import type { EvidenceKind, Proved, VerifiedClaims } from '../domain/evidence.ts';

/**
 * `anchor`: the trust anchor of its issuer decides, so two people signed it; and the token must live up to it. `evidence`: it depends on
 * what was shown.
 */
export type Proof = 'always' | 'never' | 'anchor' | 'evidence';

export interface KindFacts {
  /** It answers a challenge of ours. */
  readonly fresh: Proof;
  /** It carries the requester's TLS key. */
  readonly keyBound: Proof;
  /** It was signed by hardware: a TPM or a TEE. */
  readonly hardware: Proof;
  /** The signer isolates what it measured from the machine's administrator. */
  readonly tee: Proof;
  /** Upper bound of one body's canonical JSON, bytes. */
  readonly maxBodyBytes: number;
  /** It says which machine or workload asks. The other kinds count only beside evidence that does. */
  readonly standsAlone: boolean;
  /** Pieces of the kind in one request. */
  readonly maxPieces: number;
}

const BOUND = { fresh: 'always', keyBound: 'always' } as const;
const ALONE = { standsAlone: true, maxPieces: 1 } as const;

export const KINDS: Readonly<Record<EvidenceKind, KindFacts>> = {
  // A quote with its boot log: one of 128 KiB is long. The TPM of a TEE guest whose hardware report names its key is inside that TEE.
  tpm2: { ...BOUND, hardware: 'always', tee: 'evidence', maxBodyBytes: 262_144, ...ALONE },
  jwt: { fresh: 'anchor', keyBound: 'anchor', hardware: 'anchor', tee: 'anchor', maxBodyBytes: 65_600, ...ALONE },
  'sev-snp': { ...BOUND, hardware: 'always', tee: 'always', maxBodyBytes: 65_536, ...ALONE },
  // A quote with its event log: a log of 128 KiB is long.
  tdx: { ...BOUND, hardware: 'always', tee: 'always', maxBodyBytes: 262_144, ...ALONE },
  nitro: { ...BOUND, hardware: 'always', tee: 'always', maxBodyBytes: 32_768, ...ALONE },
  // Eight GPUs and four switches are the largest board.
  'nvidia-gpu': { ...BOUND, hardware: 'always', tee: 'always', maxBodyBytes: 65_536, standsAlone: false, maxPieces: 12 },
  spiffe: { fresh: 'never', keyBound: 'evidence', hardware: 'never', tee: 'never', maxBodyBytes: 65_600, ...ALONE },
};

/** Narrows a kind named by a stranger; `Object.hasOwn`, so that "constructor" is no kind. */
export function isEvidenceKind(kind: string): kind is EvidenceKind {
  return Object.hasOwn(KINDS, kind);
}

/** What this piece proved: what its kind always does, or where that depends, what its verifier found. */
export function provedBy(claims: VerifiedClaims): Proved {
  const { fresh, keyBound, hardware, tee } = KINDS[claims.kind];
  const found = 'proved' in claims ? claims.proved : undefined;
  const of = (proof: Proof, what: keyof Proved) => proof === 'always' || (proof !== 'never' && found?.[what] === true);
  return { fresh: of(fresh, 'fresh'), keyBound: of(keyBound, 'keyBound'), hardware: of(hardware, 'hardware'), tee: of(tee, 'tee') };
}

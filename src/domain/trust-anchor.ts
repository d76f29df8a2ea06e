/** Whose word counts, for each kind of evidence. Two people sign the list (document `trust-anchors`). */
import type { JwsAlgorithm, PublicJwk } from './jwk.ts';

/** Kinds whose endorsements lead to a root certificate of a vendor. */
export type RootedKind = 'tpm2' | 'sev-snp' | 'tdx' | 'nitro' | 'nvidia-gpu';

/** A root certificate that endorsements of TPMs may lead to: certificates of endorsement keys, or of attestation keys, never of both by one anchor. */
export interface Tpm2Anchor {
  readonly kind: 'tpm2';
  readonly name: string;
  /** base64 DER. */
  readonly certificate: string;
  /** Its authorities certify attestation keys themselves, as clouds do for their virtual TPMs. Absent: endorsement keys. */
  readonly use?: 'attestation-keys' | undefined;
}

/** The root of a maker of TEEs or GPUs. The certificate itself is pinned: another one of the same name is another one. */
export interface VendorRootAnchor {
  readonly kind: Exclude<RootedKind, 'tpm2'>;
  readonly name: string;
  /** base64 DER. */
  readonly certificate: string;
  /** Signs the maker's reference values (NVIDIA's RIMs) and no evidence. Absent: the reverse. */
  readonly use?: 'reference-values' | undefined;
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
  /** The issuer's keys, signed with this document; or where it publishes them; or roots its certificates lead to. Exactly one of the three. */
  readonly jwks?: { readonly keys: readonly PublicJwk[] } | undefined;
  readonly jwksUrl?: string | undefined;
  /** PEM: the only authority `jwksUrl` is believed under. Absent: the roots of the system. */
  readonly jwksCa?: string | undefined;
  /** base64 DER: the chain in the header (`x5c`) must lead to one of them. They are this issuer's alone. */
  readonly x5cRoots?: readonly string[] | undefined;
  readonly algorithms: readonly JwsAlgorithm[];
  /** Header `typ` must be this. Absent: `JWT`, or no `typ`. */
  readonly typ?: string | undefined;
  /** Tokens of this issuer carry a key, or an address of one, in their header: it is ignored. Absent: such a token is refused. */
  readonly headerKeys?: 'ignored' | undefined;
  /** `iat` must not be older. */
  readonly maxAgeSeconds?: number | undefined;
  /** Where the nonce is. Absent: the token is identity only, and each is good once. */
  readonly nonceClaim?: ClaimPath | undefined;
  /** Its service takes a nonce in hexadecimal alone. Absent: base64url. */
  readonly nonceForm?: 'hex' | undefined;
  /** Who it is about; absent: `sub`. */
  readonly subjectClaim?: ClaimPath | undefined;
  /** Our names for claims: facts for policies and reference values. */
  readonly claims: Readonly<Record<string, ClaimPath>>;
  /** What two people say of this issuer: it signs only for machines whose hardware (a TPM or a TEE) it has verified. */
  readonly hardware?: true | undefined;
  /** Only for TEEs. */
  readonly tee?: true | undefined;
}

/** A trust domain and its bundle (SPIFFE Trust Domain and Bundle, section 4). At least one of the two lists. */
export interface SpiffeAnchor {
  readonly kind: 'spiffe';
  readonly name: string;
  /** Without `spiffe://`. */
  readonly trustDomain: string;
  /** base64 DER: roots of X.509-SVIDs. */
  readonly x509Authorities?: readonly string[] | undefined;
  /** Keys of JWT-SVIDs. */
  readonly jwtAuthorities?: { readonly keys: readonly PublicJwk[] } | undefined;
  /** Must be in `aud` of a JWT-SVID. */
  readonly audience?: string | undefined;
}

export type TrustAnchor = Tpm2Anchor | VendorRootAnchor | JwtAnchor | SpiffeAnchor;

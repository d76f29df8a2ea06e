/** Accepted states of machines. Two people sign the list (document `reference-values`); nothing is close enough. */

interface Accepted {
  readonly id: string;
  /** ISO time after which it no longer counts. */
  readonly expires?: string | undefined;
  /** Ids of the models it counts for; absent: every model of the namespace. */
  readonly models?: readonly string[] | undefined;
  /** Who says that this state is good, for the people who decide; nothing is decided by it. */
  readonly source?: string | undefined;
}

/** PCR values by bank and index: {"sha256": {"0": "<hex>"}}. */
export type PcrBanks = Readonly<Record<string, Readonly<Record<string, string>>>>;

/**
 * One accepted state of a machine. Every PCR named here must be in the quote with one of these values, and every fact named in `claims` must
 * have one of the values: facts of the boot log, and why the key is believed. `atLeast` as below.
 */
export interface Tpm2ReferenceValue extends Accepted {
  readonly kind: 'tpm2';
  readonly pcrs: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  readonly claims?: Readonly<Record<string, readonly string[]>> | undefined;
  readonly atLeast?: Readonly<Record<string, number>> | undefined;
}

/** Accepted claims of one issuer. Every claim named here (as its anchor maps it) must be in the token with one of these values. */
export interface JwtReferenceValue extends Accepted {
  readonly kind: 'jwt';
  readonly issuer: string;
  readonly claims: Readonly<Record<string, readonly string[]>>;
}

/** Kinds whose accepted states are told by facts of domain/facts.ts. */
export type MeasuredKind = 'sev-snp' | 'tdx' | 'nitro' | 'nvidia-gpu' | 'spiffe';

/** Every fact named in `claims` must have one of the values, and every one in `atLeast` at least that number. */
export interface MeasuredReferenceValue extends Accepted {
  readonly kind: MeasuredKind;
  readonly claims: Readonly<Record<string, readonly string[]>>;
  readonly atLeast?: Readonly<Record<string, number>> | undefined;
}

export type ReferenceValue = Tpm2ReferenceValue | JwtReferenceValue | MeasuredReferenceValue;

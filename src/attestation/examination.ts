/**
 * What examining one piece of evidence by itself found. "Authentic" and "acceptable" are two answers and stay two everywhere: genuine
 * evidence of a debug guest is authentic and must not get weights. Pure: bytes, roots and a time in, this out; no clock, disk or network.
 */
export interface Examination<Word extends string = string> {
  /** Authentic at that time: structure, signatures, chain to a pinned root, validity periods, the nonce where one is expected. */
  readonly valid: boolean;
  /** What a default production policy answers. Never true when `valid` is false. */
  readonly accept: boolean;
  /** All findings, in the order in which they were met; empty when there are none. Each kind has its own closed list of words. */
  readonly reasons: readonly Word[];
  /** Parsed values under stable names, bytes in lower-case hex; of refused evidence as far as they could be read. */
  readonly claims: Readonly<Record<string, ClaimValue>>;
}

export type ClaimValue = string | number | boolean | null | readonly ClaimValue[] | { readonly [name: string]: ClaimValue };

/** One piece of evidence and what came with it. Only `roots` and `now` are trusted; sizes are the examination's to check first. */
export interface ExaminationInputs {
  readonly evidence: Uint8Array;
  /** By name: issuer chain, collateral, key set. Any may be missing, and that is a finding, never an exception. */
  readonly companions: Readonly<Record<string, Uint8Array>>;
  /** What is asked of the evidence besides, e.g. `expected_nonce` (hex). Any may be missing or of a wrong type. */
  readonly parameters: Readonly<Record<string, unknown>>;
  /** All that are pinned: a kind takes the ones of its vendor. */
  readonly roots: readonly PinnedRoot[];
  readonly now: Date;
}

/** The root certificate of a vendor, known by its bytes. */
export interface PinnedRoot {
  readonly name: string;
  readonly vendor: 'amd' | 'intel' | 'aws' | 'nvidia' | 'google' | 'microsoft';
  /** DER. */
  readonly certificate: Uint8Array;
}

/** Never throws for bad input, and answers within 50 ms and 16 MiB. */
export type Examine = (inputs: ExaminationInputs) => Examination | Promise<Examination>;

/** What the findings come to: authentic unless one says otherwise, acceptable only without any. */
export function conclude<Word extends string>(
  findings: Iterable<Word>,
  authenticButUnacceptable: readonly Word[],
  claims: Readonly<Record<string, ClaimValue>>,
): Examination<Word> {
  const reasons = [...new Set(findings)];
  return { valid: reasons.every((reason) => authenticButUnacceptable.includes(reason)), accept: reasons.length === 0, reasons, claims };
}

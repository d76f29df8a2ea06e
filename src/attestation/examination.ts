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

/** What an examination of a quote has found so far: reasons in the order they were met, and values as far as they could be read. */
import type { ClaimValue, Examination } from '../examination.ts';
import type { AkListProblem } from './ak-lists.ts';

export type TpmReason =
  | 'malformed'
  | 'bad_magic'
  | 'not_a_quote'
  | 'quote_signature_invalid'
  | 'nonce_mismatch'
  | 'pcr_digest_mismatch'
  | 'event_log_mismatch'
  | 'untrusted_root'
  | 'certificate_expired'
  | 'certificate_not_yet_valid'
  | 'ak_unsuitable'
  | AkListProblem
  | AcceptanceReason;

/** About genuine evidence: a production policy says no to it, and it stays authentic. */
const ACCEPTANCE = [
  'ak_not_certified',
  'ak_not_bound',
  'pcr_values_missing',
  'sha1_bank',
  'sha1_signature',
  'debug_enabled',
  'tee_not_acceptable',
] as const;
type AcceptanceReason = (typeof ACCEPTANCE)[number];

export class Findings {
  readonly #reasons = new Set<TpmReason>();
  readonly #claims: Record<string, ClaimValue> = {};

  found(...reasons: readonly TpmReason[]): void {
    for (const reason of reasons) this.#reasons.add(reason);
  }

  read(claims: Readonly<Record<string, ClaimValue>>): void {
    Object.assign(this.#claims, claims);
  }

  result(): Examination<TpmReason> {
    const reasons = [...this.#reasons];
    const valid = reasons.every((reason) => ACCEPTANCE.some((one) => one === reason));
    return { valid, accept: valid && reasons.length === 0, reasons, claims: this.#claims };
  }
}

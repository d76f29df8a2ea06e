/** The closed list of findings about a report (docs/formats/evidence-sev-snp.md). */
export type SnpWord =
  | 'malformed'
  | 'signature_algorithm'
  | 'signature_not_canonical'
  | 'signing_key_kind_mismatch'
  | 'chain_not_to_trusted_root'
  | 'certificate_expired'
  | 'certificate_not_yet_valid'
  | 'issuer_revoked'
  | 'crl_invalid'
  | 'crl_expired'
  | 'crl_not_yet_valid'
  | 'product_mismatch'
  | 'report_signature_invalid'
  | 'tcb_mismatch'
  | 'chip_id_mismatch'
  | 'debug_enabled';

/** Authentic evidence of something that must not get weights. */
export const SNP_UNACCEPTABLE: readonly SnpWord[] = ['debug_enabled'];

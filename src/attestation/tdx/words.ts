/** The closed list of findings about a TDX quote (docs/formats/evidence-tdx.md). */
export type TdxWord =
  | 'trailing_bytes'
  | 'chain_invalid'
  | 'untrusted_root'
  | 'pck_chain_not_yet_valid'
  | 'pck_chain_expired'
  | 'pck_revoked'
  | 'pck_ca_revoked'
  | 'quote_sig_invalid'
  | 'qe_sig_invalid'
  | 'qe_binding_invalid'
  | CollateralWord
  | 'fmspc_mismatch'
  | 'pce_id_mismatch'
  | 'qe_mrsigner_mismatch'
  | 'qe_identity_mismatch'
  | 'tdx_module_mismatch'
  | 'event_log_malformed'
  | 'event_log_mismatch'
  | Unacceptable;

/** Of the collateral alone, without a quote. */
export type CollateralWord =
  | 'malformed'
  | 'tcb_info_signature_invalid'
  | 'tcb_info_untrusted_root'
  | 'tcb_info_expired'
  | 'tcb_info_not_yet_issued'
  | 'tcb_info_of_another_kind'
  | 'qe_identity_signature_invalid'
  | 'qe_identity_untrusted_root'
  | 'qe_identity_expired'
  | 'qe_identity_not_yet_issued'
  | 'qe_identity_of_another_kind'
  | 'tcb_signing_expired'
  | 'tcb_signing_not_yet_valid'
  | 'tcb_signing_revoked'
  | 'root_crl_signature_invalid'
  | 'root_crl_expired'
  | 'root_crl_not_yet_valid'
  | 'pck_crl_signature_invalid'
  | 'pck_crl_issuer_mismatch'
  | 'pck_crl_expired'
  | 'pck_crl_not_yet_valid';

type Unacceptable = (typeof TDX_UNACCEPTABLE)[number];

/** Authentic evidence of something that must not get weights. */
export const TDX_UNACCEPTABLE = [
  'debug_enabled',
  'tcb_status_unknown',
  'tcb_not_supported',
  'tcb_out_of_date',
  'tcb_configuration_needed',
  'tcb_sw_hardening_needed',
  'tcb_revoked',
] as const;

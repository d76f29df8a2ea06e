/**
 * Every code the vault answers with, in one table: HTTP status, whether a retry of the same request can succeed, and one
 * sentence for a person. `docs/errors.md` explains each; a test keeps both lists equal. Codes are stable; texts are not.
 */
export const ERROR_CODES = {
  // What was sent is wrong.
  request_invalid: [400, 'final', 'The request does not have the form this route asks for.'],
  media_type_unsupported: [415, 'final', 'This route takes a body of another media type.'],
  request_too_large: [413, 'final', 'The request is larger than this route accepts.'],
  request_timeout: [408, 'retry', 'The request did not arrive in time.'],
  headers_too_large: [431, 'final', 'The headers of the request are larger than the vault reads.'],
  route_unknown: [404, 'final', 'There is no such route on this plane.'],
  method_not_allowed: [405, 'final', 'This route does not answer to that method.'],
  precondition_failed: [412, 'final', 'The object is not the one the condition names.'],
  range_invalid: [416, 'final', 'The range does not lie inside the object.'],
  range_unsupported: [416, 'final', 'Only one range per request is served.'],
  configuration_invalid: [500, 'final', 'A setting is unknown, missing or contradicts another.'],
  usage: [400, 'final', 'The command was called in a way it does not understand.'],

  // Who is asking.
  client_certificate_missing: [401, 'final', 'The TLS connection carries no client certificate.'],
  session_missing: [401, 'final', 'Log in first.'],
  session_expired: [401, 'final', 'The session has ended; log in again.'],
  login_refused: [401, 'final', 'The name, the workstation or the code is not right.'],
  login_locked: [429, 'retry', 'Too many attempts or wrong codes from here; wait and try again.'],
  workstation_unknown: [403, 'final', 'This workstation certificate belongs to no administrator.'],
  action_denied: [403, 'final', 'The access policy does not permit this action.'],
  approval_self: [403, 'final', 'The requester of an operation cannot approve it: another person, authenticator and workstation must.'],
  step_up_required: [403, 'final', 'This needs a fresh code: step up, then ask again.'],
  claim_refused: [403, 'final', 'There is no authenticator to set up for this name on this workstation.'],
  approval_settled: [409, 'final', 'This request was already approved, cancelled or has expired.'],
  approval_changed: [409, 'final', 'What would be executed is not what was requested.'],
  approval_void: [409, 'final', 'Someone who consented to this may no longer do so.'],

  // The release path.
  challenge_unknown: [403, 'final', 'The challenge was never issued, or was issued to another key.'],
  challenge_expired: [403, 'final', 'The challenge is too old; ask for a new one.'],
  challenge_spent: [403, 'final', 'The challenge was already used.'],
  evidence_missing: [403, 'final', 'The request carries no evidence.'],
  evidence_malformed: [403, 'final', 'The evidence cannot be parsed.'],
  evidence_kind_unsupported: [403, 'final', 'This vault does not verify that kind of evidence.'],
  evidence_signature_invalid: [403, 'final', 'The signature over the evidence does not verify.'],
  evidence_binding_mismatch: [403, 'final', 'The evidence was made for another challenge, key or vault.'],
  evidence_expired: [403, 'final', 'The evidence is not valid at this time.'],
  token_spent: [403, 'final', 'The token was shown before; it is good once.'],
  issuer_unavailable: [503, 'retry', 'The key set of the token issuer cannot be read.'],
  attester_key_unknown: [403, 'final', 'The attester was never enrolled in this namespace.'],
  attester_ambiguous: [403, 'final', 'The evidence is of several enrolled requesters.'],
  attester_key_unsuitable: [403, 'final', 'The attestation key is not a restricted signing key fixed to its TPM.'],
  endorsement_untrusted: [403, 'final', 'The evidence does not lead to a trust anchor of this vault.'],
  endorsement_revoked: [403, 'final', 'A certificate that the evidence stands on was revoked by its maker.'],
  collateral_missing: [403, 'final', 'The vault has nothing usable of what the maker publishes to judge this evidence.'],
  activation_failed: [403, 'final', 'The credential was not activated by the TPM it was made for.'],
  measurement_mismatch: [403, 'final', 'The measurements match no reference value.'],
  debug_enabled: [403, 'final', 'The evidence is genuine, and of a machine in a debug mode.'],
  tcb_unacceptable: [403, 'final', 'The evidence is genuine, and of firmware that no reference value accepts.'],
  reference_values_missing: [403, 'final', 'This namespace has no reference values, so nothing can match.'],
  policy_missing: [403, 'final', 'This namespace has no access policy, so nothing is permitted.'],
  policy_denied: [403, 'final', 'No access policy permits this release.'],
  policy_error: [403, 'final', 'A policy could not be evaluated; that counts as a denial.'],
  alert_rule_invalid: [422, 'final', 'An alert rule is not one this vault can run as it is written; nothing was changed.'],
  policy_invalid: [422, 'final', 'The policy set does not validate against the schema; nothing was changed.'],
  class_demands_unmet: [403, 'final', "The evidence is weaker than the model's class demands."],
  version_quarantined: [403, 'final', 'This version has not been promoted.'],
  subject_blocked: [403, 'final', 'This requester is blocked.'],
  version_destroyed: [403, 'final', 'This version is destroyed, or waits for it.'],
  version_suspended: [403, 'final', 'This model or version is suspended.'],
  lockdown: [403, 'final', 'The vault, or this namespace, is in lockdown.'],
  stop_unknown: [404, 'final', 'There is no such stop.'],
  stop_lifted: [409, 'final', 'This stop was lifted already.'],
  release_unknown: [404, 'final', 'There is no such release.'],
  release_key_mismatch: [403, 'final', 'The release belongs to another TLS key.'],
  release_expired: [403, 'final', 'The release has expired; attest again.'],
  release_ended: [403, 'final', 'The release has ended; attest again.'],
  release_busy: [409, 'retry', 'The release still has open reads; end it when they have ended.'],
  receipt_pending: [503, 'retry', 'The record of the release is not under a signed checkpoint yet.'],
  egress_exhausted: [403, 'final', 'The release sent all that was reserved for it; ask for another one.'],
  release_cut: [403, 'final', 'The release was cut: its requester, its version or the vault was stopped.'],
  revocation_unknown: [503, 'retry', 'The vault cannot tell whether the release is still allowed, so it sends nothing.'],
  model_unknown: [404, 'final', 'There is no such model.'],
  alias_stale: [409, 'final', 'The alias is older than the one the requester has seen: somebody rolled the catalogue back.'],
  version_unknown: [404, 'final', 'There is no such version.'],
  object_unknown: [404, 'final', 'The version has no object at that path.'],

  // Publishing and documents.
  model_exists: [409, 'final', 'A model of that name exists with another class.'],
  object_exists: [409, 'final', 'That path, or one that differs only in case, was already uploaded.'],
  path_invalid: [400, 'final', 'The object path is not allowed.'],
  version_state_conflict: [409, 'final', 'The version is not in the state this action needs.'],
  digest_mismatch: [409, 'final', 'What arrived is not what was announced.'],
  collateral_unknown: [
    422,
    'final',
    'It is no publication of a maker that any kind of evidence uses, or its signature leads to no shipped root.',
  ],
  document_unknown: [404, 'final', 'There is no such document.'],
  document_invalid: [500, 'final', 'A signed document was altered or does not verify.'],
  document_stale: [409, 'final', 'Someone activated a newer document first; read it and try again.'],
  request_unknown: [404, 'final', 'There is no such approval request.'],
  subject_exists: [409, 'final', 'A requester of that name, attestation key or token subject is already enrolled.'],
  subject_unknown: [404, 'final', 'There is no such requester.'],
  administrator_exists: [409, 'final', 'An administrator of that name exists.'],
  administrator_unknown: [404, 'final', 'There is no such administrator, or they were removed.'],
  record_pruned: [410, 'final', 'The record was removed by the retention policy; its hash and every proof of it stay.'],
  administrator_active: [409, 'final', 'The person still administers this vault.'],
  administrators_too_few: [409, 'final', 'Fewer than two administrators who can approve would remain.'],
  workstation_taken: [409, 'final', 'Another administrator works on that workstation.'],
  already_initialized: [409, 'final', 'This vault was initialized; the ceremony is closed for good.'],
  not_initialized: [409, 'final', 'Run `wv init` first.'],

  // Sealed objects (FLOE).
  sealed_key_invalid: [500, 'final', 'A sealed-object key is exactly 32 bytes.'],
  sealed_parameters: [422, 'final', 'The header names parameters that are not supported or not expected.'],
  sealed_header_truncated: [422, 'final', 'The file ends inside the header.'],
  sealed_header_tag: [422, 'final', 'Wrong key, wrong AAD, or an altered header.'],
  sealed_segment_length: [422, 'final', 'A segment states a length it does not have.'],
  sealed_segment_tag: [422, 'final', 'A segment was altered, moved, or belongs to another object.'],
  sealed_truncated: [422, 'final', 'The object ends before its last segment.'],
  sealed_trailing_bytes: [422, 'final', 'Bytes follow the last segment.'],
  sealed_too_long: [422, 'final', 'The object has more segments than its parameters allow.'],
  sealed_range: [422, 'final', 'The range asked of a sealed object lies outside its plaintext.'],
  object_integrity: [502, 'final', 'The stored ciphertext was altered; nothing of the bad segment was sent.'],
  manifest_mismatch: [502, 'final', 'The signed manifest and the catalogue row disagree.'],

  // Keys and the keeper.
  key_unknown: [500, 'final', 'The HSM holds no such key.'],
  key_exists: [409, 'final', 'The HSM already holds a key of that name and version.'],
  key_raced: [503, 'retry', 'Another process made the same key at the same moment; ask again.'],
  key_in_use: [409, 'final', 'Something is still wrapped under this key version; wait until the rotation has rewrapped it.'],
  key_rotating: [503, 'retry', 'The key was rotated while this was under way.'],
  key_suspended: [403, 'final', 'The key that this is wrapped under, or would be, is suspended.'],
  recovery_share_invalid: [422, 'final', 'A share is not as it was printed, or belongs to another recovery key.'],
  recovery_shares_too_few: [422, 'final', 'Fewer shares were given than recover the key.'],
  key_state_conflict: [409, 'final', 'The key version is not in the state this action needs.'],
  key_unwrap_refused: [500, 'final', 'The HSM refused to unwrap: wrong key version, altered blob or another context.'],
  key_context_mismatch: [500, 'final', 'The wrapped key was made for another context.'],
  pin_incorrect: [503, 'final', 'The HSM refused the PIN. Nothing is tried again until the PIN is corrected and the keeper restarted.'],
  hsm_unavailable: [503, 'retry', 'The HSM does not answer.'],
  hsm_mechanism_missing: [503, 'final', 'The HSM lacks a mechanism this vault needs.'],
  hsm_token_missing: [503, 'retry', 'The HSM token is not present.'],
  key_disabled: [503, 'final', 'The key is disabled at its provider.'],
  key_pending_deletion: [503, 'final', 'The key waits for its deletion at its provider.'],
  key_unavailable: [503, 'retry', 'The provider cannot use the key at the moment.'],
  key_unsuitable: [503, 'final', 'The key is not what the vault demands of a key.'],
  kms_access_denied: [503, 'final', 'AWS does not permit this to the keeper.'],
  kms_credentials_refused: [503, 'final', 'AWS does not know the credentials of the keeper.'],
  kms_credentials_expired: [503, 'retry', 'The AWS credentials of the keeper have expired or cannot be had.'],
  kms_throttled: [503, 'retry', 'AWS KMS has too many requests of this account.'],
  kms_refused: [503, 'final', 'AWS KMS refused the request.'],
  hsm_token_ambiguous: [503, 'retry', 'More than one HSM token has the configured name.'],
  hsm_token_uninitialized: [503, 'retry', 'The HSM token is not initialized, or has no user PIN.'],
  hsm_token_full: [503, 'final', 'The HSM token has no room for another key.'],
  hsm_token_read_only: [503, 'final', 'The HSM token is write-protected: it makes and destroys no keys.'],
  key_extractable: [500, 'final', 'The key could leave the HSM, so it is not used.'],
  keeper_unavailable: [503, 'retry', 'The keeper is restarting.'],
  keeper_deadline: [503, 'retry', 'The keeper did not answer in time.'],
  keeper_queue_full: [503, 'retry', 'Too many requests wait for the keeper.'],

  // Stores and the access log.
  blob_missing: [502, 'final', 'The blob store holds no blob of that name.'],
  blob_unavailable: [503, 'retry', 'The blob store does not answer.'],
  blob_digest_mismatch: [409, 'final', 'The bytes do not have the digest they are named after.'],
  store_unavailable: [503, 'retry', 'The database does not answer.'],
  store_schema_newer: [500, 'final', 'The database was written by a newer version of this product.'],
  record_unknown: [404, 'final', 'There is no such access record.'],
  log_unavailable: [503, 'retry', 'The access log cannot be written, so nothing is released.'],
  log_space_low: [503, 'retry', 'The disk of the access log is nearly full, so nothing new is released.'],
  log_sink_behind: [503, 'retry', 'A sink that releases must not outrun is too far behind, so nothing new is released.'],
  log_uncommitted: [503, 'retry', 'No signed checkpoint covered the record of the release in time, so nothing is released.'],
  log_unwitnessed: [503, 'retry', 'Not enough witnesses cosigned the record of the release in time, so nothing is released.'],
  clock_regressed: [503, 'retry', 'The clock stands before the newest record of the access log.'],
  log_leaf_too_large: [500, 'final', 'An access record is larger than a leaf may be.'],
  log_head_missing: [500, 'final', 'The checkpoint that is kept apart from the database is gone.'],
  log_rolled_back: [500, 'final', 'The stored access log is older than the one this vault has signed.'],
  witness_memory_invalid: [500, 'final', 'The witness no longer has what it cosigned, so it cosigns nothing.'],
  log_conflict: [500, 'final', 'The access log moved while it was being written.'],
  log_entry_mismatch: [422, 'final', 'A record of the access log is not what the tree says it was.'],
  log_tile_mismatch: [422, 'final', 'A tile of the access log does not fit the tree.'],
  log_root_mismatch: [422, 'final', 'The tree does not have the root the checkpoint states.'],
  log_incomplete: [422, 'final', 'The copy of the access log lacks records the checkpoint covers.'],
  note_malformed: [422, 'final', 'The checkpoint is not a well-formed signed note.'],
  note_signature_invalid: [422, 'final', 'The checkpoint is not signed by the expected key.'],
  proof_invalid: [422, 'final', 'The Merkle proof does not verify.'],
  sink_unreachable: [503, 'retry', 'The receiver of records does not answer.'],
  sink_untrusted: [502, 'final', 'The certificate of the receiver of records is not valid.'],
  sink_refused: [503, 'retry', 'The receiver of records refused them.'],
  evidence_disagrees: [422, 'final', 'Examined evidence is not what its manifest expects.'],

  // The requester's and the administrators' side of the wire.
  vault_unreachable: [503, 'retry', 'The vault does not answer, or the connection broke.'],
  target_unwritable: [503, 'final', 'The target folder cannot be written: full, read-only, or not ours.'],
  interrupted: [503, 'retry', 'Ended by Ctrl-C or SIGTERM before it was done.'],

  internal: [500, 'final', 'The vault could not answer. The operational log has the cause under this request id.'],
} as const satisfies Record<string, readonly [status: number, retry: 'retry' | 'final', title: string]>;

export type ErrorCode = keyof typeof ERROR_CODES;

/**
 * An answer that is not the one hoped for. `detail` may reach the caller, so it never carries a secret, a path of this
 * machine or another tenant's names; `cause` stays inside.
 */
export class VaultError extends Error {
  readonly code: ErrorCode;
  readonly detail: string;
  constructor(code: ErrorCode, detail = '', options?: { cause?: unknown }) {
    super(detail === '' ? code : `${code}: ${detail}`, options);
    this.name = 'VaultError';
    this.code = code;
    this.detail = detail;
  }
  get status(): number {
    return ERROR_CODES[this.code][0];
  }
  get retryable(): boolean {
    return ERROR_CODES[this.code][1] === 'retry';
  }
  get title(): string {
    return ERROR_CODES[this.code][2];
  }
}

/** The code of any thrown value; what we did not foresee is `internal`. */
export function codeOf(error: unknown): ErrorCode {
  return error instanceof VaultError ? error.code : 'internal';
}

/** Codes that mean: what the vault signed or stored was changed by somebody else. */
export function isTampering(code: ErrorCode): boolean {
  return code === 'document_invalid' || code === 'manifest_mismatch';
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_CODES, text);
}

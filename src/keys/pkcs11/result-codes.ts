/** What each CKR_ answer means to the vault (PKCS #11 v3.0 section 3.6). One table; what is not in it is `hsm_unavailable`. */
import { type ErrorCode, VaultError } from '../../domain/errors.ts';
import { ckrOf } from './module.ts';

export const RESULT_CODES: ReadonlyMap<number, readonly [name: string, code: ErrorCode]> = new Map([
  [0x02, ['CKR_HOST_MEMORY', 'hsm_unavailable']],
  [0x03, ['CKR_SLOT_ID_INVALID', 'hsm_token_missing']],
  [0x05, ['CKR_GENERAL_ERROR', 'hsm_unavailable']], // and see `absence` in connection.ts, INTEGRITY_RESULTS below
  [0x06, ['CKR_FUNCTION_FAILED', 'hsm_unavailable']],
  [0x30, ['CKR_DEVICE_ERROR', 'hsm_unavailable']],
  [0x31, ['CKR_DEVICE_MEMORY', 'hsm_token_full']],
  [0x32, ['CKR_DEVICE_REMOVED', 'hsm_token_missing']],
  [0x40, ['CKR_ENCRYPTED_DATA_INVALID', 'hsm_unavailable']],
  [0x54, ['CKR_FUNCTION_NOT_SUPPORTED', 'hsm_mechanism_missing']],
  [0x70, ['CKR_MECHANISM_INVALID', 'hsm_mechanism_missing']],
  [0x71, ['CKR_MECHANISM_PARAM_INVALID', 'hsm_mechanism_missing']],
  [0x82, ['CKR_OBJECT_HANDLE_INVALID', 'hsm_unavailable']],
  [0xa0, ['CKR_PIN_INCORRECT', 'pin_incorrect']],
  [0xa1, ['CKR_PIN_INVALID', 'pin_incorrect']],
  [0xa2, ['CKR_PIN_LEN_RANGE', 'pin_incorrect']],
  [0xa3, ['CKR_PIN_EXPIRED', 'pin_incorrect']],
  [0xa4, ['CKR_PIN_LOCKED', 'pin_incorrect']],
  [0xb0, ['CKR_SESSION_CLOSED', 'hsm_unavailable']],
  [0xb1, ['CKR_SESSION_COUNT', 'hsm_unavailable']],
  [0xb3, ['CKR_SESSION_HANDLE_INVALID', 'hsm_unavailable']],
  [0xb5, ['CKR_SESSION_READ_ONLY', 'hsm_token_read_only']],
  [0xe0, ['CKR_TOKEN_NOT_PRESENT', 'hsm_token_missing']],
  [0xe1, ['CKR_TOKEN_NOT_RECOGNIZED', 'hsm_token_missing']],
  [0xe2, ['CKR_TOKEN_WRITE_PROTECTED', 'hsm_token_read_only']],
  [0x101, ['CKR_USER_NOT_LOGGED_IN', 'hsm_unavailable']],
  [0x102, ['CKR_USER_PIN_NOT_INITIALIZED', 'pin_incorrect']],
  [0x190, ['CKR_CRYPTOKI_NOT_INITIALIZED', 'hsm_unavailable']],
]);

export const CKR_GENERAL_ERROR = 0x05;
/** The object is gone: another process destroyed it. */
export const CKR_OBJECT_HANDLE_INVALID = 0x82;
/** Said already by an earlier call of this process; both count as success. */
export const CKR_USER_ALREADY_LOGGED_IN = 0x100;
export const CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191;

/** CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE: the PIN itself, and tokens count these. */
export const WRONG_PIN: ReadonlySet<number> = new Set([0xa0, 0xa1, 0xa2]);

/**
 * How tokens say "this does not verify" in C_Decrypt and C_UnwrapKey: SoftHSM GENERAL_ERROR, NSS ENCRYPTED_DATA_INVALID and
 * WRAPPED_KEY_INVALID, opencryptoki FUNCTION_FAILED, others a length or data error. GENERAL_ERROR also means a lost token, so the caller
 * probes before it believes it.
 */
export const INTEGRITY_RESULTS: ReadonlySet<number> = new Set([0x05, 0x06, 0x20, 0x21, 0x40, 0x41, 0x110, 0x112]);

/** `doing` names the operation, never its data. A VaultError passes unchanged. */
export function vaultErrorOf(cause: unknown, doing: string): VaultError {
  if (cause instanceof VaultError) return cause;
  const ckr = ckrOf(cause);
  if (ckr === undefined) return new VaultError('internal', doing, { cause });
  const [name, code] = RESULT_CODES.get(ckr) ?? [`CKR 0x${ckr.toString(16)}`, 'hsm_unavailable' as const];
  return new VaultError(code, `${doing}: ${name}`, { cause });
}

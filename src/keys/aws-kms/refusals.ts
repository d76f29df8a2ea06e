/** What AWS KMS answers, as our codes. Names: the "Errors" sections of the AWS KMS API reference, and its "Common errors". */
import { type ErrorCode, VaultError } from '../../domain/errors.ts';

const BY_NAME: Readonly<Record<string, ErrorCode>> = {
  AlreadyExistsException: 'key_exists',
  NotFoundException: 'key_unknown',
  DisabledException: 'key_disabled',
  KeyUnavailableException: 'key_unavailable',
  InvalidKeyUsageException: 'key_unsuitable',
  InvalidCiphertextException: 'key_unwrap_refused',
  IncorrectKeyException: 'key_unwrap_refused',
  AccessDeniedException: 'kms_access_denied',
  AccessDenied: 'kms_access_denied',
  NotAuthorized: 'kms_access_denied',
  OptInRequired: 'kms_access_denied',
  ExpiredTokenException: 'kms_credentials_expired',
  ExpiredToken: 'kms_credentials_expired',
  RequestExpired: 'kms_credentials_expired',
  CredentialsProviderError: 'kms_credentials_expired',
  UnrecognizedClientException: 'kms_credentials_refused',
  InvalidClientTokenId: 'kms_credentials_refused',
  InvalidSignatureException: 'kms_credentials_refused',
  SignatureDoesNotMatch: 'kms_credentials_refused',
  IncompleteSignature: 'kms_credentials_refused',
  MissingAuthenticationToken: 'kms_credentials_refused',
  MissingAuthenticationTokenException: 'kms_credentials_refused',
  ThrottlingException: 'kms_throttled',
  Throttling: 'kms_throttled',
  ThrottledException: 'kms_throttled',
  RequestLimitExceeded: 'kms_throttled',
  TooManyRequestsException: 'kms_throttled',
  DependencyTimeoutException: 'hsm_unavailable',
  KMSInternalException: 'hsm_unavailable',
  InternalFailure: 'hsm_unavailable',
  ServiceUnavailable: 'hsm_unavailable',
  TimeoutError: 'hsm_unavailable',
};

/** What the SDK adds to every error; nothing of it is trusted to be there. */
interface SdkError {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: unknown; readonly requestId?: unknown; readonly clockSkewCorrected?: unknown };
}

/** The exception that needs a look at the key before it can be named: which state the key is in. */
export const isInvalidState = (error: VaultError): boolean => nameOf(error.cause) === 'KMSInvalidStateException';

/** Never AWS's own message: it names accounts, roles and keys. The request id finds it in CloudTrail. */
export function vaultErrorOf(cause: unknown, operation: string): VaultError {
  if (cause instanceof VaultError) return cause;
  const id = requestIdOf(cause);
  return new VaultError(codeOfAws(cause), `${operation}: ${nameOf(cause)}${id === undefined ? '' : ` (AWS request ${id})`}`, { cause });
}

export function nameOf(cause: unknown): string {
  const { name, code } = (cause ?? {}) as SdkError; // read defensively
  return safe(name === 'Error' && code !== undefined ? code : name) ?? 'unknown error';
}

/** Opaque, and safe to log: anything that is not a plain id is dropped. */
export function requestIdOf(cause: unknown): string | undefined {
  return safe(((cause ?? {}) as SdkError).$metadata?.requestId); // read defensively
}

function codeOfAws(cause: unknown): ErrorCode {
  const { $metadata: metadata } = (cause ?? {}) as SdkError; // read defensively
  if (metadata?.clockSkewCorrected === true) return 'hsm_unavailable'; // the SDK has set its clock by the answer: the next try counts
  const named = BY_NAME[nameOf(cause)];
  if (named !== undefined) return named;
  const status = metadata?.httpStatusCode;
  if (typeof status !== 'number') return 'hsm_unavailable'; // no answer: name resolution, connection, TLS
  return status === 429 ? 'kms_throttled' : status >= 500 ? 'hsm_unavailable' : 'kms_refused';
}

const safe = (text: unknown): string | undefined => (typeof text === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(text) ? text : undefined);

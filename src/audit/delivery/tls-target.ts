/** Where records and alerts are sent: one host, named by people, whose certificate is checked. */
import type { ConnectionOptions } from 'node:tls';
import { type ErrorCode, VaultError } from '../../domain/errors.ts';

export interface TlsTarget {
  readonly host: string;
  readonly port: number;
  /** PEM of the authorities that may vouch for the host; absent: those that Node ships. */
  readonly ca?: string | undefined;
  /** PEM, when the receiver asks who sends. */
  readonly certificate?: string | undefined;
  readonly privateKey?: string | undefined;
}

/** TLS 1.2 at least, because RFC 5425 receivers may know no better. Name and dates of the certificate are always checked. */
export function tlsOptions({ host, port, ca, certificate, privateKey }: TlsTarget): ConnectionOptions {
  return {
    host,
    port,
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    ...(ca !== undefined && { ca }),
    ...(certificate !== undefined && { cert: certificate }),
    ...(privateKey !== undefined && { key: privateKey }),
  };
}

/** What Node and OpenSSL call a certificate that must not be believed. */
const UNTRUSTED =
  /^(?:CERT_|ERR_TLS_CERT|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED_CERT|UNABLE_TO_(?:GET_ISSUER|VERIFY_LEAF)|CRL_|HOSTNAME_MISMATCH)/;

/** `sink_untrusted` when the receiver's certificate is not valid, `sink_unreachable` for everything else that is no answer. */
export function deliveryFailure(error: unknown, { host, port }: TlsTarget): VaultError {
  if (error instanceof VaultError) return error;
  const said = nodeCode(error);
  const code: ErrorCode = UNTRUSTED.test(said) ? 'sink_untrusted' : 'sink_unreachable';
  return new VaultError(code, `${host}:${port} ${said}`.trim(), { cause: error });
}

function nodeCode(error: unknown): string {
  if (typeof error !== 'object' || error === null) return '';
  if ('name' in error && (error.name === 'AbortError' || error.name === 'TimeoutError')) return 'deadline';
  return 'code' in error ? String(error.code) : '';
}

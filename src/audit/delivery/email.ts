/** A message by SMTP, always over TLS with a certificate that is checked. Plain text: an alert is read on whatever is at hand at night. */
import { createTransport } from 'nodemailer';
import { VaultError } from '../../domain/errors.ts';
import { deliveryFailure, type TlsTarget } from './tls-target.ts';

export interface EmailTarget extends TlsTarget {
  /** `implicit`: TLS from the first byte; `starttls`: the connection is given up when the server does not offer it. */
  readonly tls: 'implicit' | 'starttls';
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly from: string;
  readonly to: readonly string[];
}

export interface EmailMessage {
  /** The same for every try of the same delivery. */
  readonly id: string;
  readonly subject: string;
  readonly text: string;
}

/** How long a server may be silent; the caller's signal ends the whole. */
const SILENT_MS = 10_000;

/** Resolves when the server took it for every recipient. Rejects `sink_refused`, `sink_untrusted`, `sink_unreachable`. */
export async function sendEmail(target: EmailTarget, message: EmailMessage, signal: AbortSignal): Promise<void> {
  const { host, port, ca, tls, user, password, from, to } = target;
  const transport = createTransport({
    host,
    port,
    secure: tls === 'implicit',
    requireTLS: true,
    tls: { minVersion: 'TLSv1.2', rejectUnauthorized: true, ...(ca !== undefined && { ca }) },
    ...(user !== undefined && { auth: { user, pass: password ?? '' } }),
    connectionTimeout: SILENT_MS,
    greetingTimeout: SILENT_MS,
    socketTimeout: SILENT_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const end = () => transport.close();
  try {
    signal.throwIfAborted();
    signal.addEventListener('abort', end, { once: true });
    const { rejected } = await transport.sendMail({
      from,
      to: [...to],
      subject: message.subject,
      text: message.text,
      messageId: `<${message.id}@weight-vault>`,
      headers: { 'Auto-Submitted': 'auto-generated' }, // RFC 3834: no vacation notice in return
    });
    if (rejected.length > 0) throw new VaultError('sink_refused', `${host} takes no mail for ${rejected.length} of ${to.length}`);
  } catch (error) {
    throw failure(error, target);
  } finally {
    signal.removeEventListener('abort', end);
    transport.close();
  }
}

/** A server that answered and said no. */
function failure(error: unknown, target: TlsTarget): VaultError {
  const answered = typeof error === 'object' && error !== null && 'responseCode' in error ? Number(error.responseCode) : 0;
  if (answered >= 400) return new VaultError('sink_refused', `${target.host} answered ${answered}`, { cause: error });
  const inner = typeof error === 'object' && error !== null && 'cause' in error && error.cause !== undefined ? error.cause : error;
  return deliveryFailure(inner, target);
}

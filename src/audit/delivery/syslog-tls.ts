/** Syslog over TLS (RFC 5425): each message after its length. The protocol has no acknowledgement, so each batch has a connection of its own. */
import { connect, type TLSSocket } from 'node:tls';
import { concat, utf8 } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { deliveryFailure, type TlsTarget, tlsOptions } from './tls-target.ts';

/** RFC 5425 section 4.3: MSG-LEN SP SYSLOG-MSG, the length in bytes. */
export function frameSyslog(message: Uint8Array): Uint8Array {
  return concat(utf8(`${message.length} `), message);
}

/**
 * Resolves when the receiver has closed its side after ours: then it has read all there was. Rejects `sink_untrusted`, or `sink_unreachable`, also
 * when `signal` aborts or the connection breaks before: then any number of the messages may have arrived.
 */
export async function sendSyslog(target: TlsTarget, messages: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
  let socket: TLSSocket | undefined;
  const abort = () => socket?.destroy(new VaultError('sink_unreachable', `${target.host}:${target.port} deadline`));
  try {
    signal.throwIfAborted();
    signal.addEventListener('abort', abort, { once: true });
    socket = connect({ ...tlsOptions(target), ...(isName(target.host) && { servername: target.host }) });
    await exchange(socket, concat(...messages.map(frameSyslog)));
  } catch (error) {
    throw deliveryFailure(error, target);
  } finally {
    signal.removeEventListener('abort', abort);
    socket?.destroy();
  }
}

function exchange(socket: TLSSocket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('secureConnect', () => socket.end(bytes));
    socket.once('end', () => {
      // An end before ours is a receiver that hung up on us.
      if (socket.writableFinished) resolve();
      else reject(new VaultError('sink_unreachable', 'the receiver closed the connection'));
    });
    socket.once('close', () => reject(new VaultError('sink_unreachable', 'the connection was closed')));
    socket.resume(); // a syslog receiver says nothing; its end is what is waited for
  });
}

/** SNI takes names only (RFC 6066 section 3). */
function isName(host: string): boolean {
  return !/^[0-9.]+$/.test(host) && !host.includes(':');
}

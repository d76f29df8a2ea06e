/**
 * Ending a connection so that nothing more of it arrives. Destroying a TLS socket closes it, and the kernel goes on delivering what it has
 * buffered, megabytes and minutes later to a reader that was slow; only a TCP reset throws that away. Node resets TCP sockets only, so the
 * one below each TLS connection is remembered here.
 */
import type { Server, Socket } from 'node:net';

const below = new Map<string, Socket>();

export function rememberConnections(server: Server): void {
  server.on('connection', (tcp: Socket) => {
    const name = nameOf(tcp);
    below.set(name, tcp);
    tcp.once('close', () => below.get(name) === tcp && below.delete(name));
  });
}

/** TCP reset: what the kernel has not yet sent of this TLS connection is thrown away. */
export function resetConnection(tls: Socket): void {
  below.get(nameOf(tls))?.resetAndDestroy();
  tls.destroy();
}

/** Both ends of a connection: the same for the TLS socket and the TCP socket below it, and no two living ones share it. */
function nameOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return [remoteAddress, remotePort, localAddress, localPort].join(' ');
}

/** Connections that are kept between two requests, and their end. */
import type { Server } from 'node:https';
import type { Socket } from 'node:net';

/**
 * Closes a connection that lay idle for `server.keepAliveTimeout`, unless its next request has arrived. In a process that stood still, behind a slow disk
 * say, that timer goes off before what came meanwhile is read; Node closes the connection then, and whoever asked cannot tell whether they were heard
 * (RFC 9112 section 9.5).
 */
export function closeIdle(server: Pick<Server, 'on'>): void {
  server.on('timeout', (socket: Socket) => {
    const read = socket.bytesRead;
    // What has arrived is read between the timers of this round and its immediates; once more, for what those put into the round.
    setImmediate(() => setImmediate(() => void (socket.bytesRead === read && socket.destroy())));
  });
}

/** A slow line to a port of this machine: TCP passed on both ways, at most so many bytes a second. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Transform } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

export interface SlowLine {
  readonly port: number;
  stop(): Promise<void>;
}

export async function startSlowLine(to: number, bytesPerSecond: number): Promise<SlowLine> {
  const sockets = new Set<Socket>();
  const slow = () =>
    new Transform({
      transform: (chunk: Buffer, _encoding, done) => void sleep((chunk.length / bytesPerSecond) * 1000).then(() => done(null, chunk)),
    });
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket
        .on('error', () => undefined)
        .on('close', () => {
          sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
    }
    near.pipe(slow()).pipe(far);
    far.pipe(slow()).pipe(near);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((done) => server.close(() => done()));
    },
  };
}

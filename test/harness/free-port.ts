/**
 * Ports for those who must be told theirs before they listen. Below the range that the kernel hands to outgoing connections (Linux: from 32768): there a
 * neighbour's connection, or what is left of one, can have the port a moment later. From 20000 on are the software TPMs' (swtpm.ts).
 */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = randomInt(10_000, 20_000);
    if (await isFree(port)) return port;
  }
  throw new Error('no loopback port is free');
}

export function isFree(port: number): Promise<boolean> {
  return new Promise((answer) => {
    const server = createServer();
    server.once('error', () => answer(false));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => answer(true)));
  });
}

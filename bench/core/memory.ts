/** Resident memory of the serving processes while 1, 16 and 256 readers hold streams open and take little. */
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HttpsClient } from '../../src/agent/https-client.ts';
import type { BenchOptions, Report } from '../area.ts';
import { type BenchVault, newRelease, pinnedClient } from './bench-vault.ts';
import { residentMib } from './process-tree.ts';
import { median } from './rounds.ts';
import type { Peers } from './streams.ts';

const TARGET = { of: 'value', atMost: 4 } as const; // MiB
/** A slow reader takes what is there, at most 64 KiB, and then waits this long. */
const PAUSE_MS = 500;
/**
 * Readers that start together, and the pause after them. Each first fills the kernel's buffers with megabytes at full speed, and this is not
 * about how the server copes with that: 256 at once have made it lose sight of the block list, and then it refuses (`revocation_unknown`).
 */
const START = { together: 8, pauseMs: 250 } as const;

/** Restarts the server first: memory that earlier measures left behind would hide what a stream adds. */
export async function measureMemory(vault: BenchVault, peers: Peers, options: BenchOptions, report: Report): Promise<void> {
  await vault.real.server.stop();
  const server = await vault.real.serve();
  const { https, client } = vault.client(server.dataPort, 256);
  const { path } = await newRelease(vault, client);
  for (const streams of options.quick ? [1, 4] : [1, 16, 256]) {
    const { nginx } = peers;
    const theirHttps = nginx && pinnedClient(nginx.port, vault.tls, 256);
    const [ours, theirs]: [number[], number[]] = [[], []];
    for (let round = 0; round < (streams > 16 ? 1 : options.rounds); round += 1) {
      ours.push(await perStream({ pid: server.pid, https, path, streams }, options));
      if (theirHttps) theirs.push(await perStream({ pid: nginx.pid, https: theirHttps, path: nginx.path, streams }, options));
    }
    theirHttps?.close();
    report.row({
      name: `memory per stream, ${streams} slow reader${streams === 1 ? '' : 's'}`,
      value: median(ours),
      unit: 'MiB',
      peer: nginx?.name ?? `nginx: ${peers.missing}`,
      ...(theirs.length > 0 && { peerValue: median(theirs) }),
      target: TARGET,
    });
  }
  https.close();
}

interface Load {
  readonly pid: number;
  readonly https: HttpsClient;
  readonly path: string;
  readonly streams: number;
}

/** (highest RSS while the streams are open - RSS before) / streams. Of one stream, most of it is when the collector last ran. */
async function perStream({ pid, https, path, streams }: Load, { quick }: BenchOptions): Promise<number> {
  const [settleMs, holdMs] = quick ? [100, 300] : [1_000, 1_500];
  await drainOnce(https, path);
  await sleep(settleMs);
  const idle = residentMib(pid);
  const stop = new AbortController();
  const readers: Array<Promise<boolean>> = [];
  try {
    while (readers.length < streams) {
      const together = Math.min(START.together, streams - readers.length);
      const responses = await Promise.all(Array.from({ length: together }, () => https.send({ method: 'GET', path })));
      readers.push(...responses.map((response) => readSlowly(response, stop.signal)));
      await sleep(START.pauseMs);
    }
    await sleep(settleMs);
    let highest = 0;
    for (const end = performance.now() + holdMs; performance.now() < end; await sleep(100)) highest = Math.max(highest, residentMib(pid));
    stop.abort();
    if ((await Promise.all(readers)).includes(false)) throw new Error('the server ended a stream whose reader was slow');
    return (highest - idle) / streams;
  } finally {
    stop.abort();
    await Promise.all(readers);
  }
}

/** What the first stream makes once for all of them is not a stream's. */
async function drainOnce(https: HttpsClient, path: string): Promise<void> {
  for await (const _ of await https.send({ method: 'GET', path, headers: { Range: 'bytes=0-67108863' } }));
}

/** Resolves once stopped: false when the server ended the stream before, and held nothing for us any more. */
async function readSlowly(response: IncomingMessage, stop: AbortSignal): Promise<boolean> {
  response.on('error', () => undefined); // `destroyed` tells
  while (!stop.aborted && !response.destroyed) {
    response.read();
    await sleep(PAUSE_MS, undefined, { signal: stop }).catch(() => undefined);
  }
  const lasted = !response.destroyed;
  response.destroy();
  return lasted;
}

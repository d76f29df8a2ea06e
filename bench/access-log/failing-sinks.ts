/**
 * What sinks that fail cost a release: its record's transaction while one sink hangs, one drops the connection and one answers 500, beside the same without any
 * sink, in turns of the same minutes. The receiver is real, over TLS; what reads for it is what reads for sinks in a vault.
 */
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { LogSink } from '../../src/documents/log-sinks.ts';
import { type Incarnation, newId } from '../../src/domain/ids.ts';
import { followerOf } from '../../src/vault/log-sinks.ts';
import { receiverCertificates } from '../../test/audit/receiver-certificates.ts';
import type { BenchOptions, Report } from '../area.ts';
import { quantile } from '../core/rounds.ts';
import { rate } from './appends.ts';
import type { BenchLog } from './bench-log.ts';

const CALLERS = 16;
const FAILURES = ['hangs', 'drops', 'refuses'] as const;

export async function measureFailingSinks(log: BenchLog, { quick }: BenchOptions, report: Report): Promise<void> {
  const [turns, seconds] = quick ? [1, 0.2] : [4, 5];
  const certificates = await receiverCertificates();
  const alone: number[] = [];
  const beside: number[] = [];
  for (let turn = 0; turn < turns; turn++) {
    alone.push(...(await appendTimes(log, seconds)));
    const stop = await failingSinks(log, certificates);
    try {
      beside.push(...(await appendTimes(log, seconds)));
    } finally {
      await stop();
    }
  }
  for (const [name, q] of [
    ['p50', 0.5],
    ['p99', 0.99],
  ] as const)
    report.row({
      name: `a record while one sink hangs, one drops and one answers 500, ${CALLERS} callers, ${name}`,
      value: quantile(beside, q),
      unit: 'ms',
      peer: 'the same without sinks',
      peerValue: quantile(alone, q),
      ...(name === 'p99' && { target: { of: 'ratio', atMost: 1.05 } as const }),
    });
}

/** Meanwhile records get their indexes and checkpoints, as in a vault: a sink is given nothing else. */
async function appendTimes(log: BenchLog, seconds: number): Promise<readonly number[]> {
  let going = true;
  const publishing = (async () => {
    while (going) {
      await log.publishAll();
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  })();
  const { times } = await rate(CALLERS, seconds, log.append);
  going = false;
  await publishing;
  return times;
}

async function failingSinks({ stores, key }: BenchLog, { ca, good }: Awaited<ReturnType<typeof receiverCertificates>>) {
  let stopped = false;
  const server = createServer(good, (request, response) => {
    request.resume();
    if (stopped || request.url === '/drops') request.socket.destroy();
    if (request.url === '/refuses') response.writeHead(500).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // listening on TCP: it has an address
  const surroundings = { secretOf: async () => Buffer.alloc(32, 7), clientOf: async () => undefined };
  const followers = FAILURES.map((name) => {
    const sink: LogSink = { kind: 'webhook', name, from: 'next', host: 'localhost', port, path: `/${name}`, ca, format: 'jsonl' };
    return followerOf(sink, { stores, node: newId<Incarnation>(new Date()), logKey: key }, surroundings, () => undefined);
  });
  for (const follower of followers) follower.start();
  return async () => {
    stopped = true; // for those that are connecting
    server.close();
    server.closeAllConnections();
    await Promise.all(followers.map((follower) => follower.stop()));
  };
}

/** Streams over mutual TLS: server CPU and wall time for a gigabyte, beside nginx with the plaintext and rclone with its own encryption. */
import type { BenchOptions, Report } from '../area.ts';
import { type BenchVault, newRelease } from './bench-vault.ts';
import { download, negotiated } from './curl.ts';
import type { Peer } from './peers.ts';
import { cpuSeconds } from './process-tree.ts';
import { median } from './rounds.ts';

const STREAMS = [1, 4];
const NGINX_CPU = { of: 'ratio', atMost: 1.5 } as const;
/** At least 1.5 times better. */
const RCLONE = { cpu: { of: 'ratio', atMost: 0.667 }, wall: { of: 'ratio', atLeast: 1.5 } } as const;

export interface Peers {
  /** Undefined: not on this machine, for the reason in `missing`. */
  readonly nginx: Peer | undefined;
  readonly rclone: Peer | undefined;
  readonly missing: string;
}

interface Cost {
  readonly cpu: number[];
  readonly wall: number[];
}

export async function measureStreams(vault: BenchVault, peers: Peers, options: BenchOptions, report: Report): Promise<void> {
  const { https, client } = vault.client(vault.real.server.dataPort, 1);
  const { releaseId, path } = await newRelease(vault, client);
  const ours = { pid: vault.real.server.pid, port: vault.real.server.dataPort, path };
  const servers = new Map([
    ['ours', ours],
    ...(['nginx', 'rclone'] as const).flatMap((name) => (peers[name] ? [[name, peers[name]] as const] : [])),
  ]);
  for (const server of servers.values()) {
    await download(server, vault.bytes, 1, vault.tls); // from here on the file is in the page cache
    report.note(`port ${server.port}: ${await negotiated(server, vault.tls)}, client certificate asked for`);
  }
  for (const streams of STREAMS) {
    const costs = new Map<string, Cost>([...servers.keys()].map((name) => [name, { cpu: [], wall: [] }]));
    for (let round = 0; round < options.rounds; round += 1) {
      for (const [name, server] of servers) await measure(server, costs.get(name));
    }
    rows(streams, costs, peers, report);

    async function measure(server: typeof ours, cost: Cost | undefined): Promise<void> {
      const [cpu, begin] = [cpuSeconds(server.pid), performance.now()];
      await download(server, vault.bytes, streams, vault.tls);
      const seconds = (performance.now() - begin) / 1000;
      cost?.cpu.push(((cpuSeconds(server.pid) - cpu) / vault.bytes) * 1e9);
      cost?.wall.push(vault.bytes / 1e9 / seconds);
    }
  }
  await client.end(releaseId);
  https.close();
}

function rows(streams: number, costs: ReadonlyMap<string, Cost>, peers: Peers, report: Report): void {
  const ours = costs.get('ours') ?? { cpu: [], wall: [] };
  for (const name of ['nginx', 'rclone'] as const) {
    const cost = costs.get(name);
    const peer = peers[name]?.name ?? `${name}: ${peers.missing}`;
    const label = `${streams} stream${streams === 1 ? '' : 's'}`;
    report.row({
      name: `${label}, server CPU per GB`,
      value: median(ours.cpu),
      unit: 's/GB',
      peer,
      ...(cost && { peerValue: median(cost.cpu) }),
      target: name === 'nginx' ? NGINX_CPU : RCLONE.cpu,
    });
    report.row({
      name: `${label}, wall`,
      value: median(ours.wall),
      unit: 'GB/s',
      peer,
      ...(cost && { peerValue: median(cost.wall) }),
      ...(name === 'rclone' && { target: RCLONE.wall }),
    });
  }
}

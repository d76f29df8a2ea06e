/** The core: sealed objects, streams, releases, memory, against a real vault of this machine. */
import type { BenchOptions, Report } from '../area.ts';
import { startBenchVault } from '../core/bench-vault.ts';
import { measureMemory } from '../core/memory.ts';
import { type Peer, type StartPeer, startNginx, startRclone } from '../core/peers.ts';
import { measureReleaseCost } from '../core/release-cost.ts';
import { measureReleases } from '../core/releases.ts';
import { measureSealed } from '../core/sealed.ts';
import { measureStreams, type Peers } from '../core/streams.ts';

export const about = 'sealing and opening, streams beside nginx and rclone, releases a second, memory a stream';

export async function run(options: BenchOptions, report: Report): Promise<void> {
  const part = (name: string, work: () => Promise<void>) => work().catch((error) => report.failed(name, error));
  await part('sealed', () => measureSealed(options, report));

  const vault = await startBenchVault(options.mib);
  const started: Peer[] = [];
  const stop = async () => {
    for (const peer of started.splice(0)) await peer.stop();
    await vault.real.stop();
  };
  const interrupted = () => void stop().finally(() => process.exit(130)); // the folder holds three times the object
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted);
  try {
    const start = async (name: string, startPeer: StartPeer): Promise<Peer | undefined> => {
      const peer = options.peers ? await startPeer(vault).catch((error) => void report.failed(name, error)) : undefined;
      if (peer !== undefined) started.push(peer);
      return peer;
    };
    const peers: Peers = {
      nginx: await start('nginx', startNginx),
      rclone: await start('rclone', startRclone),
      missing: options.peers ? 'not on this machine' : 'left out',
    };
    report.note(
      `object of ${vault.bytes} bytes; server CPU is that of all its processes; wall time is shared with the client on these cores`,
    );
    await part('streams', () => measureStreams(vault, peers, options, report));
    await part('releases', () => measureReleases(vault, options, report));
    await part('release cost', () => measureReleaseCost(vault, options, report));
    await part('memory', () => measureMemory(vault, peers, options, report));
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupted);
    await stop();
  }
}

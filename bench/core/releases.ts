/** Whole releases (challenge, evidence, release, end) per second over mutual TLS, by clients in this process. */
import type { BenchOptions, Report } from '../area.ts';
import { type BenchVault, newRelease } from './bench-vault.ts';
import { cpuSeconds } from './process-tree.ts';
import { median, quantile } from './rounds.ts';

const CONCURRENCY = [1, 4, 16];
const TARGET = { of: 'value', atLeast: 150 } as const; // a second, on two cores

interface Round {
  readonly perSecond: number;
  readonly cpuMs: number;
  readonly latencies: readonly number[];
}

export async function measureReleases(vault: BenchVault, options: BenchOptions, report: Report): Promise<void> {
  const seconds = options.quick ? 0.5 : 3;
  const { dataPort, pid } = vault.real.server;
  const results = new Map<number, Round[]>(CONCURRENCY.map((clients) => [clients, []]));
  const { https, client } = vault.client(dataPort, Math.max(...CONCURRENCY));
  await work(1, 0.5); // connections and compiled code
  for (let round = 0; round < options.rounds; round += 1) {
    for (const clients of CONCURRENCY) results.get(clients)?.push(await work(clients, seconds));
  }
  https.close();
  for (const [clients, rounds] of results) rows(clients, rounds, report);

  async function work(clients: number, forSeconds: number): Promise<Round> {
    const latencies: number[] = [];
    const [cpu, begin] = [cpuSeconds(pid), performance.now()];
    const end = begin + forSeconds * 1000;
    const one = async () => {
      while (performance.now() < end) {
        const at = performance.now();
        const { releaseId } = await newRelease(vault, client);
        await client.end(releaseId);
        latencies.push(performance.now() - at);
      }
    };
    await Promise.all(Array.from({ length: clients }, one));
    const elapsed = (performance.now() - begin) / 1000;
    return { perSecond: latencies.length / elapsed, cpuMs: ((cpuSeconds(pid) - cpu) / latencies.length) * 1000, latencies };
  }
}

function rows(clients: number, rounds: readonly Round[], report: Report): void {
  const label = `releases, software-key evidence, ${clients} client${clients === 1 ? '' : 's'}`;
  const most = clients === Math.max(...CONCURRENCY);
  report.row({ name: label, value: median(rounds.map((round) => round.perSecond)), unit: '1/s', ...(most && { target: TARGET }) });
  const latencies = rounds.flatMap((round) => round.latencies);
  report.row({ name: `${label}: p50`, value: quantile(latencies, 0.5), unit: 'ms' });
  report.row({ name: `${label}: p95`, value: quantile(latencies, 0.95), unit: 'ms' });
  report.row({ name: `${label}: server CPU`, value: median(rounds.map((round) => round.cpuMs)), unit: 'ms' });
}

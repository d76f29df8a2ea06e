/** Sealing and opening on one core, beside what `openssl speed` makes of the same cipher. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { SecretBytes } from '../../src/domain/secret.ts';
import { openRange } from '../../src/sealed/range.ts';
import { SegmentOpener } from '../../src/sealed/segment.ts';
import { sealStream } from '../../src/sealed/stream.ts';
import type { BenchOptions, Report } from '../area.ts';
import { median } from './rounds.ts';

const MIB = 1024 * 1024;
const run = promisify(execFile);
type Direction = 'seal' | 'open';

export async function measureSealed(options: BenchOptions, report: Report): Promise<void> {
  const mib = options.quick ? 4 : 256;
  const bench = await prepare(mib);
  const [ours, theirs] = [new Map<Direction, number[]>(), new Map<Direction, number[]>()];
  for (let round = 0; round < options.rounds; round += 1) {
    for (const direction of ['seal', 'open'] as const) {
      push(ours, direction, await perCpuSecond(mib * MIB, bench[direction]));
      if (options.peers) push(theirs, direction, await opensslSpeed(direction));
    }
  }
  const peer = options.peers ? await opensslVersion() : 'left out';
  for (const [direction, values] of ours) {
    const peerValues = theirs.get(direction);
    report.row({
      name: `sealed object: ${direction}, per core`,
      value: median(values),
      unit: 'GB/s',
      peer,
      ...(peerValues && { peerValue: median(peerValues) }),
    });
  }
}

async function prepare(mib: number): Promise<Record<Direction, () => Promise<void>>> {
  const key = new SecretBytes(randomBytes(32));
  const aad = randomBytes(64);
  const unit = randomBytes(MIB);
  const plaintextBytes = mib * MIB;
  function* plaintext(): Generator<Uint8Array> {
    for (let i = 0; i < mib; i += 1) yield unit;
  }
  const sealed: Uint8Array[] = [];
  for await (const piece of sealStream(plaintext(), { key, aad })) sealed.push(piece);
  const opener = new SegmentOpener(sealed[0] ?? new Uint8Array(0), { key, aad });
  const source = { read: () => sealed.slice(1) };
  const range = { start: 0, end: plaintextBytes };
  return {
    seal: () => drain(sealStream(plaintext(), { key, aad })),
    open: () => drain(openRange({ opener, plaintextBytes, range, source, reuseBuffer: true })),
  };
}

async function drain(chunks: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of chunks);
}

/** By processor time of this process, its garbage collector included: neighbours on the machine do not count. */
async function perCpuSecond(bytes: number, work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return bytes / ((user + system) * 1000);
}

/** `+F:22:AES-256-GCM:1234.56` is bytes per second of processor time for each block size; we ask for one. */
async function opensslSpeed(direction: Direction): Promise<number> {
  const what = ['speed', '-mr', '-seconds', '1', '-bytes', String(MIB), ...(direction === 'open' ? ['-decrypt'] : [])];
  const { stdout } = await run('openssl', [...what, '-evp', 'aes-256-gcm']);
  const bytesPerSecond = Number(/^\+F:\d+:[^:]+:([\d.]+)/m.exec(stdout)?.[1]);
  if (!(bytesPerSecond > 0)) throw new Error(`openssl speed said nothing we can read: ${stdout.trim().slice(-200)}`);
  return bytesPerSecond / 1e9;
}

async function opensslVersion(): Promise<string> {
  const { stdout } = await run('openssl', ['version']);
  return `openssl speed ${stdout.split(' ')[1] ?? ''}`;
}

function push<K>(lists: Map<K, number[]>, key: K, value: number): void {
  lists.set(key, [...(lists.get(key) ?? []), value]);
}

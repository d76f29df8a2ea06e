/**
 * Seal and open throughput as a share of raw AES-256-GCM of node:crypto, in the same run on the same bytes.
 * `node bench/sealed.ts [MiB, default 512]`. Numbers move with the machine; the ratios are what to compare.
 */
import { createCipheriv, randomBytes } from 'node:crypto';
import { SecretBytes } from '../src/domain/secret.ts';
import { segmentCount } from '../src/sealed/layout.ts';
import { openRange } from '../src/sealed/range.ts';
import { SegmentOpener } from '../src/sealed/segment.ts';
import { openStream, sealStream } from '../src/sealed/stream.ts';
import { PRODUCTION_SEGMENT_BYTES } from '../src/sealed/suites.ts';

const MIB = 1024 * 1024;
const mib = Number(process.argv[2] ?? 512);
if (!Number.isInteger(mib) || mib < 1) throw new Error('how many MiB?');
const key = new SecretBytes(randomBytes(32));
const aad = randomBytes(64);
const unit = randomBytes(MIB);

function* plaintext(): Generator<Uint8Array> {
  for (let i = 0; i < mib; i += 1) yield unit;
}

async function drain(chunks: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of chunks);
}

/** GB (10^9 bytes) per second, the best of three runs. */
async function rate(work: () => Promise<void> | void): Promise<number> {
  let best = 0;
  for (let run = 0; run < 3; run += 1) {
    const begin = process.hrtime.bigint();
    await work();
    best = Math.max(best, (mib * MIB) / Number(process.hrtime.bigint() - begin));
  }
  return best;
}

/** One cipher a segment as FLOE needs, but whole updates and no copying. */
function rawGcm(): void {
  const [rawKey, iv] = [randomBytes(32), randomBytes(12)];
  for (let i = 0; i < mib; i += 1) {
    const cipher = createCipheriv('aes-256-gcm', rawKey, iv);
    cipher.update(unit);
    cipher.final();
  }
}

const whole: Uint8Array[] = [];
for await (const piece of sealStream(plaintext(), { key, aad })) whole.push(piece);
const header = whole[0] ?? new Uint8Array(0);
const opener = new SegmentOpener(header, { key, aad });
const plaintextBytes = mib * MIB;

const rows: Array<[string, number]> = [
  ['raw AES-256-GCM, 1 MiB updates', await rate(rawGcm)],
  ['sealStream', await rate(() => drain(sealStream(plaintext(), { key, aad })))],
  ['openStream', await rate(() => drain(openStream(whole, { key, aad })))],
  ['openStream, reused buffer', await rate(() => drain(openStream(whole, { key, aad, reuseBuffer: true })))],
  [
    'openRange of everything, reused buffer',
    await rate(() =>
      drain(
        openRange({
          opener,
          plaintextBytes,
          range: { start: 0, end: plaintextBytes },
          source: { read: () => whole.slice(1) },
          reuseBuffer: true,
        }),
      ),
    ),
  ],
];
const raw = rows[0]?.[1] ?? 1;
console.log(`node ${process.version}, ${segmentCount(plaintextBytes)} segments of ${PRODUCTION_SEGMENT_BYTES} bytes`);
for (const [name, value] of rows)
  console.log(`${name.padEnd(42)}${value.toFixed(2).padStart(6)} GB/s ${(value / raw).toFixed(2).padStart(6)} of raw`);

/** One bit of every byte of every real report and RIM: `npm run soak -- --only evidence` flips every bit. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { examineNvidiaReport } from '../../src/attestation/nvidia-gpu/examine.ts';
import { acceptsNoFlippedBit } from './damaged-evidence.ts';
import { describeShared, inputsOf, sharedEntries } from './shared-evidence.ts';
import { TwinsMemo } from './twins-memo.ts';

const FLIP_RIM = fileURLToPath(new URL('flip-rim.ts', import.meta.url));
const FLAGS = ['--disable-warning=ExperimentalWarning'];

describeShared('damage to real NVIDIA evidence', () => {
  const valid = (format: string) =>
    sharedEntries(format)
      .filter(({ expected }) => expected.valid)
      .map((entry, at) => [entry.id, entry, at] as const);

  test.each(valid('nvidia-spdm'))('%s: no flipped bit is accepted', async (_, entry, seed) => {
    const [real, memo] = [inputsOf(entry), new TwinsMemo()];
    await acceptsNoFlippedBit(real.evidence, seed, (evidence) => examineNvidiaReport({ ...real, evidence }, memo));
  });

  test('no flipped bit of a RIM is accepted', async () => {
    const rims = valid('nvidia-rim-xml');
    const flipped = await Promise.all(
      rims.map(([id, , seed]) => promisify(execFile)(process.execPath, [...FLAGS, FLIP_RIM, id, `${seed}`])),
    );
    const flips = rims.map(([, entry]) => inputsOf(entry).evidence.length);
    expect(flipped.map(({ stdout }) => JSON.parse(stdout))).toEqual(flips.map((count) => ({ flips: count, accepted: [] })));
    expect(flips.length).toBeGreaterThan(0);
  }, 900_000);
});

/** One bit of every byte of every real report, and of every eleventh of the real RIMs: `npm run soak -- --only evidence` does all. */
import { test } from '@jest/globals';
import { examineNvidiaReport } from '../../src/attestation/nvidia-gpu/examine.ts';
import { examineNvidiaRim } from '../../src/attestation/nvidia-gpu/examine-rim.ts';
import { acceptsNoFlippedBit } from './damaged-evidence.ts';
import { describeShared, inputsOf, sharedEntries } from './shared-evidence.ts';
import { TwinsMemo } from './twins-memo.ts';

/** Canonicalizing a RIM takes up to ten milliseconds, and each has more than 20,000 bytes: all of them are six minutes of processor time. */
const RIM_EVERY = 11;

describeShared('damage to real NVIDIA evidence', () => {
  const valid = (format: string) =>
    sharedEntries(format)
      .filter(({ expected }) => expected.valid)
      .map((entry, at) => [entry.id, entry, at] as const);

  test.each(valid('nvidia-spdm'))('%s: no flipped bit is accepted', async (_, entry, seed) => {
    const [real, memo] = [inputsOf(entry), new TwinsMemo()];
    await acceptsNoFlippedBit(real.evidence, seed, (evidence) => examineNvidiaReport({ ...real, evidence }, memo));
  });

  test.each(valid('nvidia-rim-xml'))('%s: no flipped bit is accepted', async (_, entry, seed) => {
    const [real, memo] = [inputsOf(entry), new TwinsMemo()];
    await acceptsNoFlippedBit(real.evidence, seed, (evidence) => examineNvidiaRim({ ...real, evidence }, memo), RIM_EVERY);
  });
});

/** One bit of every byte of every real report, and of every sixteenth byte of the real RIMs (canonicalizing one takes some milliseconds). */
import { test } from '@jest/globals';
import { examineNvidiaReport } from '../../src/attestation/nvidia-gpu/examine.ts';
import { examineNvidiaRim } from '../../src/attestation/nvidia-gpu/examine-rim.ts';
import { IssuerMemo } from '../../src/attestation/x509/path.ts';
import { acceptsNoFlippedBit } from './damaged-evidence.ts';
import { describeShared, inputsOf, sharedEntries } from './shared-evidence.ts';

describeShared('damage to real NVIDIA evidence', () => {
  const valid = (format: string) =>
    sharedEntries(format)
      .filter(({ expected }) => expected.valid)
      .map((entry, at) => [entry.id, entry, at] as const);

  test.each(valid('nvidia-spdm'))('%s: no flipped bit is accepted', async (_, entry, seed) => {
    const [real, memo] = [inputsOf(entry), new IssuerMemo()];
    await acceptsNoFlippedBit(real.evidence, seed, (evidence) => examineNvidiaReport({ ...real, evidence }, memo));
  });

  test.each(valid('nvidia-rim-xml'))('%s: no flipped bit is accepted', async (_, entry, seed) => {
    const [real, memo] = [inputsOf(entry), new IssuerMemo()];
    await acceptsNoFlippedBit(real.evidence, seed, (evidence) => examineNvidiaRim({ ...real, evidence }, memo), 16);
  });
});

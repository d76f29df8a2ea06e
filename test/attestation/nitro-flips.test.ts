/** One bit of every byte of every real Nitro document. Slow, so by itself: the three signatures of each altered document are looked at. */
import { test } from '@jest/globals';
import { examineNitroDocument } from '../../src/attestation/nitro/examine.ts';
import { acceptsNoFlippedBit } from './damaged-evidence.ts';
import { describeShared, inputsOf, sharedEntries } from './shared-evidence.ts';
import { TwinsMemo } from './twins-memo.ts';

describeShared('damage to real Nitro documents', () => {
  const valid = sharedEntries('nitro-cose-sign1').filter(({ expected }) => expected.valid);
  test.each(valid.map((entry, at) => [entry.id, entry, at] as const))('%s: no flipped bit is accepted', async (_, entry, seed) => {
    const [real, memo] = [inputsOf(entry), new TwinsMemo()];
    await acceptsNoFlippedBit(real.evidence, seed, (evidence) => examineNitroDocument({ ...real, evidence }, memo));
  });
});

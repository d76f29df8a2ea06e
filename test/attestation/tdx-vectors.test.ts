/** Real TDX quotes, and the same with one flipped bit in each byte. */
import { test } from '@jest/globals';
import { examineTdxQuote } from '../../src/attestation/tdx/examine.ts';
import { acceptsNoFlippedBit } from './damaged-evidence.ts';
import { agreesOnEverySharedEntry, describeShared, inputsOf, sharedEntries } from './shared-evidence.ts';
import { TwinsMemo } from './twins-memo.ts';

agreesOnEverySharedEntry('tdx-quote', (inputs) => examineTdxQuote(inputs));

describeShared('damaged twins of real quotes', () => {
  const valid = sharedEntries('tdx-quote').filter(({ expected }) => expected.valid);

  test.each(valid.map((entry, seed) => [entry.id, entry, seed] as const))(
    '%s: no flipped bit in any byte is accepted',
    async (_, entry, seed) => {
      const inputs = inputsOf(entry);
      const memo = new TwinsMemo();
      // Of the zeros behind a quote, which are all alike, 200 are enough.
      const bytes = inputs.evidence.slice(0, inputs.evidence.length - Math.max(0, Number(entry.expected['trailing_bytes']) - 200));
      await acceptsNoFlippedBit(bytes, seed, (evidence) => examineTdxQuote({ ...inputs, evidence }, memo));
    },
  );
});

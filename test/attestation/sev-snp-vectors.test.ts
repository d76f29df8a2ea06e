/** Real SEV-SNP reports, and the same with one flipped bit in each byte. */
import { test } from '@jest/globals';
import { examineSnpReport } from '../../src/attestation/sev-snp/examine.ts';
import { acceptsNoFlippedBit } from './damaged-evidence.ts';
import { agreesOnEverySharedEntry, describeShared, inputsOf, sharedEntries } from './shared-evidence.ts';
import { TwinsMemo } from './twins-memo.ts';

agreesOnEverySharedEntry('snp-report', (inputs) => examineSnpReport(inputs));

describeShared('damaged twins of real reports', () => {
  const valid = sharedEntries('snp-report').filter(({ expected }) => expected.valid);
  const cases = valid.map((entry, seed) => [entry.id, entry, seed] as const);

  test.each(cases)('%s: no flipped bit in any byte is accepted', async (_, entry, seed) => {
    const inputs = inputsOf(entry);
    const memo = new TwinsMemo();
    await acceptsNoFlippedBit(inputs.evidence, seed, (evidence) => examineSnpReport({ ...inputs, evidence }, memo));
  });

  test.each(cases)("%s: nor in its key's certificate", async (_, entry, seed) => {
    const inputs = inputsOf(entry);
    const memo = new TwinsMemo();
    const key = inputs.companions['endorsement_key_certificate'] ?? new Uint8Array(0);
    const examine = (endorsement_key_certificate: Uint8Array) =>
      examineSnpReport({ ...inputs, companions: { ...inputs.companions, endorsement_key_certificate } }, memo);
    await acceptsNoFlippedBit(key, seed, examine, 3);
  });
});

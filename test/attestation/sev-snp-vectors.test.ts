/** Real SEV-SNP reports, and the same with one flipped bit in each byte. */
import { expect, test } from '@jest/globals';
import { examineSnpReport } from '../../src/attestation/sev-snp/examine.ts';
import { IssuerMemo } from '../../src/attestation/x509/path.ts';
import { flipEachByte } from './damage.ts';
import { agreesOnEverySharedEntry, describeShared, inputsOf, sharedEntries } from './shared-evidence.ts';

agreesOnEverySharedEntry('snp-report', (inputs) => examineSnpReport(inputs));

describeShared('damaged twins of real reports', () => {
  const valid = sharedEntries('snp-report').filter(({ expected }) => expected.valid);
  const cases = valid.map((entry, seed) => [entry.id, entry, seed] as const);

  test.each(cases)('%s: no flipped bit in any byte is accepted', async (_, entry, seed) => {
    const inputs = inputsOf(entry);
    const memo = new IssuerMemo();
    await flipEachByte(inputs.evidence, seed, (evidence, at) => {
      expect([at, examineSnpReport({ ...inputs, evidence }, memo).valid]).toEqual([at, false]);
    });
  });

  test.each(cases)("%s: nor in its key's certificate", async (_, entry, seed) => {
    const inputs = inputsOf(entry);
    const memo = new IssuerMemo();
    const key = inputs.companions['endorsement_key_certificate'] ?? new Uint8Array(0);
    await flipEachByte(
      key,
      seed,
      (endorsement_key_certificate, at) => {
        const companions = { ...inputs.companions, endorsement_key_certificate };
        expect([at, examineSnpReport({ ...inputs, companions }, memo).valid]).toEqual([at, false]);
      },
      3,
    );
  });
});

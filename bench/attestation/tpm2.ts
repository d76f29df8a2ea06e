import { createSnpReportCheck } from '../../src/attestation/sev-snp/verifier.ts';
import { createTdxReportCheck } from '../../src/attestation/tdx/verifier.ts';
import { parsePublicArea } from '../../src/attestation/tpm2/public-area.ts';
import { createTpm2Verifier } from '../../src/attestation/tpm2/verifier.ts';
import { toBase64 } from '../../src/domain/bytes.ts';
import { tpm2AttesterKey, tpm2ExtraData } from '../../src/domain/evidence.ts';
import { attest, makeAk, publicArea, tpmSignature } from '../../test/attestation/quote-maker.ts';
import { contextWithout, enrolled } from '../../test/attestation/samples.ts';
import type { KindBench } from './kind.ts';

/** PCRs 0 to 7, as `wv attester init` quotes them. */
const PCRS = { sha256: Object.fromEntries(Array.from({ length: 8 }, (_, index) => [String(index), `0${index}`.repeat(32)])) };

export const tpm2: KindBench = {
  name: 'tpm2: ECDSA P-256',
  atLeast: 600,
  prepare: async () => {
    const ak = makeAk();
    const akPublic = publicArea(ak);
    const { name } = parsePublicArea(akPublic);
    const context = { ...contextWithout(), attester: async (key: string) => (key === tpm2AttesterKey(name) ? enrolled(name) : undefined) };
    const quote = attest({ pcrs: PCRS, nonce: tpm2ExtraData(context.binding) });
    return {
      kind: 'tpm2',
      verifier: createTpm2Verifier({ 'sev-snp': createSnpReportCheck(), tdx: createTdxReportCheck() }),
      body: { quote: toBase64(quote), signature: toBase64(tpmSignature(quote, ak)), akPublic: toBase64(akPublic), pcrs: PCRS },
      context,
      referenceValue: (n) => ({
        id: `value-${n}`,
        kind: 'tpm2',
        pcrs: { sha256: { 7: [n === 0 ? (PCRS.sha256['7'] ?? '') : n.toString(16).padStart(64, '0')] } },
      }),
    };
  },
};

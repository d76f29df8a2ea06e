import { createSnpVerifier } from '../../src/attestation/sev-snp/verifier.ts';
import { toBase64 } from '../../src/domain/bytes.ts';
import { teeReportData } from '../../src/domain/evidence.ts';
import { makeReport, makeSnpLine, NOW, TCB } from '../../test/attestation/snp-maker.ts';
import { BINDING, keeping, workloadContext } from '../../test/attestation/workload-context.ts';
import type { KindBench } from './kind.ts';

/** AMD's authorities have RSA keys of this size: the signature of the leaf is most of what differs from ECDSA. */
const RSA_BITS = 4096;
const measurement = 'ab'.repeat(48);

export const sevSnp: KindBench = {
  name: 'sev-snp: VCEK',
  atLeast: 300,
  prepare: async () => {
    const line = await makeSnpLine('Genoa', RSA_BITS);
    const key = await line.key({ tcb: TCB.Genoa.extensions });
    const report = makeReport({ tcb: TCB.Genoa.raw, reportData: teeReportData(BINDING) }, key.keys.privateKey);
    const context = workloadContext({
      kind: 'sev-snp',
      identity: { fact: 'measurement', value: measurement },
      anchors: [{ kind: 'sev-snp', name: 'ark', certificate: toBase64(line.pinned.certificate) }],
      collateral: keeping({ 'amd-chain Genoa/VCEK': line.chain() }),
      now: NOW,
    });
    return {
      kind: 'sev-snp',
      verifier: createSnpVerifier(),
      body: { report: toBase64(report), certificate: toBase64(key.der) },
      context,
      referenceValue: (n) => ({
        id: `value-${n}`,
        kind: 'sev-snp',
        claims: { measurement: [n === 0 ? measurement : n.toString(16).padStart(96, '0')] },
      }),
    };
  },
};

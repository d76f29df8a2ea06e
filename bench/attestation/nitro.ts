import { createNitroVerifier } from '../../src/attestation/nitro/verifier.ts';
import { toBase64 } from '../../src/domain/bytes.ts';
import { teeReportData } from '../../src/domain/evidence.ts';
import { answered, answeredBinding, contextOf, enrolledBy } from '../../test/attestation/answered-challenge.ts';
import { bstr, endlessMap, makeDocument, membersOf, NITRO_NOW, startEnclave } from '../../test/attestation/nitro-enclave.ts';
import type { KindBench } from './kind.ts';

const pcr0 = '01'.repeat(48);

export const nitro: KindBench = {
  name: 'nitro: chain of five',
  atLeast: 400,
  prepare: async () => {
    const enclave = await startEnclave();
    const bound = { user_data: bstr(teeReportData(answeredBinding)), nonce: bstr(answered.challengeNonce) };
    const document = await makeDocument(enclave, { payload: endlessMap(...membersOf(enclave, bound)) });
    const root = toBase64(enclave.bundle[0]?.der ?? new Uint8Array(0));
    return {
      kind: 'nitro',
      verifier: createNitroVerifier(),
      body: { document: toBase64(document) },
      context: contextOf(NITRO_NOW, [{ kind: 'nitro', name: 'aws', certificate: root }], enrolledBy('nitro', 'pcr0', pcr0)),
      referenceValue: (n) => ({ id: `value-${n}`, kind: 'nitro', claims: { pcr0: [n === 0 ? pcr0 : n.toString(16).padStart(96, '0')] } }),
    };
  },
};

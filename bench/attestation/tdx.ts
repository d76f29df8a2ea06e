import { createTdxVerifier } from '../../src/attestation/tdx/verifier.ts';
import { toBase64 } from '../../src/domain/bytes.ts';
import { teeReportData } from '../../src/domain/evidence.ts';
import { FMSPC, makeBundle, makeIntelWorld, makePck, makeQuote, NOW } from '../../test/attestation/tdx-maker.ts';
import { BINDING, keeping, workloadContext } from '../../test/attestation/workload-context.ts';
import type { KindBench } from './kind.ts';

const mrtd = 'cd'.repeat(48);

export const tdx: KindBench = {
  name: 'tdx: quote 4, no log',
  atLeast: 150,
  prepare: async () => {
    const world = await makeIntelWorld();
    const quote = makeQuote(world, await makePck(world), { reportData: teeReportData(BINDING) });
    const context = workloadContext({
      kind: 'tdx',
      identity: { fact: 'mrtd', value: mrtd },
      anchors: [{ kind: 'tdx', name: 'intel', certificate: toBase64(world.root.der) }],
      collateral: keeping({ [`tdx-collateral ${FMSPC}`]: await makeBundle(world) }),
      now: NOW,
    });
    return {
      kind: 'tdx',
      verifier: createTdxVerifier(),
      body: { quote: toBase64(quote) },
      context,
      referenceValue: (n) => ({ id: `value-${n}`, kind: 'tdx', claims: { mrtd: [n === 0 ? mrtd : n.toString(16).padStart(96, '0')] } }),
    };
  },
};

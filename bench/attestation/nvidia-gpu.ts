import { createNvidiaVerifier } from '../../src/attestation/nvidia-gpu/verifier.ts';
import { toBase64 } from '../../src/domain/bytes.ts';
import { gpuNonce } from '../../src/domain/evidence.ts';
import { answered, contextOf, type Kept } from '../../test/attestation/answered-challenge.ts';
import {
  buildDevice,
  makeReport,
  measurementOf,
  NVIDIA_NOW,
  pemOf,
  rimAuthority,
  rimText,
  signRim,
} from '../../test/attestation/nvidia-device.ts';
import type { KindBench, Sample } from './kind.ts';
import { nitro } from './nitro.ts';

const DRIVER = '590.12';
const VBIOS = '96.00.A5.00.01';

/** One GPU with its two RIMs, whose signatures are verified once. */
async function gpu(): Promise<Sample> {
  const device = await buildDevice();
  const signers = await rimAuthority();
  const rim = async (key: string, index: number, version: string): Promise<Kept> => ({
    type: 'nvidia-rim',
    key,
    bytes: new Uint8Array(
      Buffer.from(await signRim(rimText([{ index, values: [measurementOf(index + 1).toString('hex')] }], version), signers)),
    ),
  });
  const root = (chain: typeof signers) => toBase64(chain.at(-1)?.der ?? new Uint8Array(0));
  const anchors = [
    { kind: 'nvidia-gpu', name: 'devices', certificate: root(device.chain) },
    { kind: 'nvidia-gpu', name: 'rims', certificate: root(signers), use: 'reference-values' },
  ] as const;
  const kept = [await rim(`NV_GPU_DRIVER_GH100_${DRIVER}`, 0, DRIVER), await rim('NV_GPU_VBIOS_G520_0200_885_9600A50001', 1, VBIOS)];
  return {
    kind: 'nvidia-gpu',
    verifier: createNvidiaVerifier(),
    body: { report: toBase64(await makeReport(device, { nonce: gpuNonce(answered) })), chain: toBase64(pemOf(...device.chain)) },
    context: contextOf(NVIDIA_NOW, anchors, undefined, kept),
    referenceValue: (n) => ({
      id: `value-${n}`,
      kind: 'nvidia-gpu',
      claims: { driverVersion: [n === 0 ? DRIVER : `590.${n + 12}`], vbiosVersion: [VBIOS] },
    }),
  };
}

/** A GPU is never shown alone: the machine's own evidence says who asks. */
export const nitroWithGpu: KindBench = {
  name: 'nitro and nvidia-gpu: two pieces',
  atLeast: 150,
  prepare: async () => {
    const [machine, beside] = [await nitro.prepare(), await gpu()];
    const context = {
      ...machine.context,
      anchors: [...machine.context.anchors, ...beside.context.anchors],
      collateral: beside.context.collateral,
    };
    return { ...machine, context, beside };
  },
};

/** What `npm run bench -- attestation` measures, in this order. */
import { jwt } from './jwt.ts';
import type { KindBench } from './kind.ts';
import { nitro } from './nitro.ts';
import { nitroWithGpu } from './nvidia-gpu.ts';
import { sevSnp } from './sev-snp.ts';
import { tdx } from './tdx.ts';
import { tpm2 } from './tpm2.ts';

export const KIND_BENCHES: readonly KindBench[] = [sevSnp, tdx, nitro, tpm2, jwt, nitroWithGpu];

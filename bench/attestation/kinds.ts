/** What `npm run bench -- attestation` measures, in this order. */
import type { KindBench } from './kind.ts';
import { nitro } from './nitro.ts';
import { sevSnp } from './sev-snp.ts';
import { tdx } from './tdx.ts';

export const KIND_BENCHES: readonly KindBench[] = [sevSnp, tdx, nitro];

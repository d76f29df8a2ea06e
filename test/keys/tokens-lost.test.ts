/** Losses of the tokens that have no test of their own: SoftHSM's are in keeper-faults.test.ts; opencryptoki's is in tokens.test.ts, because there is one daemon for a machine. */
import { nss, tpm2 } from '../harness/tokens/kinds.ts';
import { kryoptic } from '../harness/tokens/kryoptic.ts';
import { lostAndBack } from './lost-token.ts';

lostAndBack(tpm2, 'at once');
lostAndBack(nss, 'by the next keeper');
lostAndBack(kryoptic, 'by the next keeper');

/** What becomes of the log's checkpoint on the tokens that have no test of their own: opencryptoki's is in tokens.test.ts, because there is one daemon for a machine. */
import { nss, tpm2 } from '../harness/tokens/kinds.ts';
import { keptHeads } from './kept-heads.ts';

keptHeads(nss, false);
keptHeads(tpm2, true);

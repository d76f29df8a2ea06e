/** Probe of what notices that the database is put back, and of what nobody would notice. */

import { openCheckpoint } from '../../audit/checkpoint.ts';
import { createHsmHead } from '../../audit/head-hsm/head-hsm.ts';
import type { VerifierKey } from '../../audit/vkey.ts';
import type { Config } from '../../config/config.ts';
import { codeOf } from '../../domain/errors.ts';
import type { HeadObjects } from '../../keys/port.ts';
import { type Finding, finding } from './findings.ts';
import type { StoredFacts } from './stored.ts';

/** Records under the checkpoint that the HSM keeps; none; or why that cannot be told. */
export type HsmHead = number | 'off' | 'none' | { readonly code: string };

/** Never rejects. */
export async function askHsmHead({ logHeadInHsm }: Config, heads: HeadObjects | undefined, key: VerifierKey | undefined): Promise<HsmHead> {
  if (logHeadInHsm === false) return 'off';
  if (heads === undefined || key === undefined) return { code: 'document_invalid' };
  try {
    const kept = await createHsmHead(heads, key).read();
    return kept === undefined ? 'none' : openCheckpoint(kept, key).size;
  } catch (error) {
    return { code: codeOf(error) };
  }
}

export function rollbackWindows(config: Config, hsm: HsmHead, { serving, checkpointSize }: StoredFacts): Finding {
  const { logHead, witnesses } = config;
  if (typeof hsm === 'number' && hsm > checkpointSize && !serving)
    return finding('rollback_windows', 'critical', `the HSM knows ${hsm} signed records, the database a checkpoint of ${checkpointSize}`);
  const inHsm = typeof hsm === 'number';
  const open = [
    logHead === undefined ? 'a head file: there is none' : 'the head file: whoever puts it back together with the database',
    inHsm ? `the HSM (${hsm} records): the last second of records` : `the HSM: ${whyNot(config, hsm)}`,
    witnesses === undefined
      ? 'witnesses: there are none'
      : `witnesses (${witnesses.quorum} of ${witnesses.list.length}): what they have not seen yet`,
  ];
  const severity = inHsm || witnesses !== undefined ? 'ok' : logHead === undefined ? 'warning' : 'info';
  return finding('rollback_windows', severity, `not noticed by ${open.join('; by ')}`);
}

function whyNot({ keeper }: Config, hsm: Exclude<HsmHead, number>): string {
  if ('kms' in keeper) return 'not available, AWS KMS keeps no data';
  if (hsm === 'off') return 'turned off (logHeadInHsm)';
  if (hsm === 'none') return 'keeps no checkpoint; when one was signed, the token cannot, and the log of the vault says why';
  return `not asked or not believed, ${hsm.code}`;
}

/** What a signed RIM lets a person accept: the version of a driver or VBIOS. Its measurements stay where verdicts look for them, in the collateral. */
import type { PinnedRoot } from '../examination.ts';
import { examineNvidiaRim } from './examine-rim.ts';
import { identifyRim } from './signed-rim.ts';

export interface RimReference {
  readonly fact: 'driverVersion' | 'vbiosVersion';
  /** As reports may spell it. */
  readonly versions: readonly string[];
  /** Who signed it. */
  readonly signer: string;
}

/** `name`: of the file, without its ending. `roots`: shipped or in force. A text says why it is none that counts now. */
export function readRimReference(evidence: Uint8Array, name: string, roots: readonly PinnedRoot[], now: Date): RimReference | string {
  const { rim, claims, reasons } = examineNvidiaRim({ evidence, companions: {}, parameters: {}, roots, now });
  if (rim === undefined) return `not a RIM that NVIDIA signed: ${reasons.join(', ')}`;
  const pinned = roots.filter(({ vendor }) => vendor === 'nvidia').map(({ certificate }) => certificate);
  const identified = identifyRim(evidence, name, pinned);
  if (identified === undefined) return 'its name is not the id under which NVIDIA publishes this RIM';
  const fact = identified.key.includes('_DRIVER_') ? 'driverVersion' : 'vbiosVersion';
  return { fact, versions: [...new Set([rim.version, rim.version.toUpperCase()])], signer: String(claims['signer']) };
}

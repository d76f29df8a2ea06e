/** A RIM that NVIDIA signed, whatever day it is: kept, named and judged by its dates afterwards. */
import type { ExaminationInputs } from '../examination.ts';
import type { IdentifiedCollateral } from '../port.ts';
import { IssuerMemo } from '../x509/path.ts';
import type { Validity } from '../x509/validity.ts';
import { examineNvidiaRim, RIM_ROOT } from './examine-rim.ts';
import type { Rim } from './rim.ts';

export interface SignedRim {
  /** Absent when it is not NVIDIA's on any day. */
  readonly rim?: Rim;
  /** Of its signer's chain. */
  readonly period: Validity;
}

const NEVER: Validity = { from: new Date(0), until: new Date(0) };

/** `roots`: under the name RIM_ROOT. Canonicalizing XML takes milliseconds, and the answer does not change: keep it. */
export function readSignedRim(evidence: Uint8Array, roots: ExaminationInputs['roots'], memo: IssuerMemo): SignedRim {
  const examine = (now: Date) => examineNvidiaRim({ evidence, companions: {}, parameters: {}, roots, now }, memo);
  const { claims } = examine(NEVER.until); // for the dates: they are the same on each day
  const [from, until] = [new Date(String(claims['valid_from'])), new Date(String(claims['valid_until']))];
  if (Number.isNaN(from.getTime()) || Number.isNaN(until.getTime())) return { period: NEVER };
  const { rim } = examine(until);
  return { period: { from, until }, ...(rim && { rim }) };
}

/** The ids that NVIDIA publishes RIMs under; they are not inside the file. What stands in front of one is left away. */
const ID = /NV_(?:GPU|SWITCH)_[A-Z0-9_.]{1,100}$/i;

/** For the import (docs/formats/evidence-nvidia-gpu.md). The name must end with the version that was signed. */
export function identifyRim(bytes: Uint8Array, name: string, roots: readonly Uint8Array[]): IdentifiedCollateral | undefined {
  const id = ID.exec(name)?.[0].toUpperCase();
  if (id === undefined) return undefined;
  const pinned = roots.map((certificate) => ({ name: RIM_ROOT, vendor: 'nvidia', certificate }) as const);
  const { rim, period } = readSignedRim(bytes, pinned, new IssuerMemo());
  if (rim === undefined) return undefined;
  const version = rim.version.toUpperCase();
  if (![version, version.replaceAll('.', '')].some((end) => id.endsWith(`_${end}`))) return undefined;
  return { type: 'nvidia-rim', key: id, issuedAt: period.from, expiresAt: period.until };
}

/** Did NVIDIA sign this RIM? Format: docs/formats/evidence-nvidia-gpu.md. */
import { equalBytes } from '../../domain/bytes.ts';
import { type ClaimValue, conclude, type Examination, type ExaminationInputs } from '../examination.ts';
import type { Certificate } from '../x509/certificate.ts';
import { followChain, outsideValidity } from '../x509/chain.ts';
import { orMalformed } from '../x509/der.ts';
import { nameText } from '../x509/names.ts';
import { IssuerMemo } from '../x509/path.ts';
import { isoSeconds } from '../x509/validity.ts';
import { type Rim, readRim } from './rim.ts';
import { readRimSignature } from './rim-signature.ts';
import { readXml, xmlText } from './xml-tree.ts';

export type RimWord = 'malformed' | 'chain_incomplete' | 'certificate_expired' | 'certificate_not_yet_valid' | 'xml_signature_invalid';

/** The one of the two pinned NVIDIA roots that endorses RIMs. */
export const RIM_ROOT = 'nvidia-corim-signing-root-ca';

/** Twice what real ones have. */
const SMALL_CHARS = 49_152;

export interface ExaminedRim extends Examination<RimWord> {
  /** Read from the signed text alone; absent when the file is not valid. */
  readonly rim?: Rim;
}

interface Findings {
  readonly found: Set<RimWord>;
  readonly claims: Record<string, ClaimValue>;
}

/** A file that cannot be read is signed by nobody: it gets that word too. */
export function examineNvidiaRim(inputs: ExaminationInputs, memo = new IssuerMemo()): ExaminedRim {
  const findings: Findings = { found: new Set(), claims: {} };
  const { found, claims } = findings;
  const rim = orMalformed(() => examine(inputs, memo, findings), found);
  if (rim === undefined) found.add('xml_signature_invalid');
  const examination = conclude(found, [], claims);
  return { ...examination, ...(examination.valid && rim !== undefined && { rim }) };
}

/** Undefined when the signer did not sign it. */
function examine(inputs: ExaminationInputs, memo: IssuerMemo, findings: Findings): Rim | undefined {
  const { found, claims } = findings;
  const text = xmlText(inputs.evidence);
  const root = readXml(text);
  const shown = orMalformed(() => readRim(root), found); // to tell a person what it says it is, signed or not
  Object.assign(claims, {
    rim_id: shown?.id ?? null,
    rim_version: shown?.version ?? null,
    measurement_entries: shown?.measurements.length ?? null,
  });
  const signature = readRimSignature(text, root);
  const signer = examineChain(signature.certificates, inputs, memo, findings);
  // Canonicalizing takes a tenth of a second for the largest: not for what is no RIM whoever signed it, nor for strangers, whose word is none.
  const isWorthIt = shown !== undefined && (text.length <= SMALL_CHARS || !found.has('chain_incomplete'));
  const signedText = isWorthIt ? signer && signature.signedText(signer.publicKey) : undefined;
  return signedText === undefined ? undefined : readRim(readXml(signedText));
}

/** The signer, when at least its own certificate can be read. */
function examineChain(
  [first, ...others]: readonly Uint8Array[],
  { roots, now }: ExaminationInputs,
  memo: IssuerMemo,
  { found, claims }: Findings,
): Certificate | undefined {
  const signer = first && orMalformed(() => memo.certificate(first), found);
  const issuers = orMalformed(() => others.map((der) => memo.certificate(der)), found);
  if (issuers === undefined || signer === undefined) found.add('chain_incomplete');
  if (signer === undefined) return undefined;
  const followed = followChain([signer, ...(issuers ?? [])], memo);
  const root = issuers?.at(-1);
  const isPinned = roots.some(({ name, certificate }) => name === RIM_ROOT && root !== undefined && equalBytes(root.der, certificate));
  if (!followed.isWhole || !isPinned) found.add('chain_incomplete');
  const outside = outsideValidity(followed, now);
  if (outside !== undefined) found.add(outside);
  Object.assign(claims, {
    signer: nameText(signer.subject),
    valid_from: isoSeconds(followed.validity.from),
    valid_until: isoSeconds(followed.validity.until),
  });
  return signer;
}

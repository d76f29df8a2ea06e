/** Verifies evidence of kind `nvidia-gpu`, one device a piece (docs/formats/evidence-nvidia-gpu.md). */
import { createHash } from 'node:crypto';
import { equalBytes } from '../../domain/bytes.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import {
  failedBytes,
  failedFindings,
  gpuNonce,
  isRefusal,
  type Refusal,
  refuse,
  type VendorRootAnchor,
  type VerifiedGpu,
} from '../../domain/evidence.ts';
import type { Facts } from '../../domain/facts.ts';
import { checkAuthorityLists, identifyAuthorityList } from '../authority-lists.ts';
import { certificateEndorsements } from '../endorsements.ts';
import type { PinnedRoot } from '../examination.ts';
import type { EvidenceVerifier, VerificationContext } from '../port.ts';
import { rootsOf } from '../vendor-roots.ts';
import type { Certificate } from '../x509/certificate.ts';
import { nameText } from '../x509/names.ts';
import { IssuerMemo } from '../x509/path.ts';
import { modelOf } from './boards.ts';
import { type EndorsedState, endorsedState } from './endorsed-state.ts';
import { parseNvidiaEvidence } from './evidence.ts';
import { DEVICE_ROOT, type ExaminedReport, examineParts, type NvidiaWord } from './examine.ts';
import { RIM_ROOT } from './examine-rim.ts';
import type { ReportFacts } from './opaque.ts';
import { identifyRim } from './signed-rim.ts';

export function createNvidiaVerifier(): EvidenceVerifier<VerifiedGpu> {
  const memo = new IssuerMemo();
  return { kind: 'nvidia-gpu', verify: (body, context) => verify(body, context, memo), identifyCollateral };
}

/** A RIM by its file's name, or a list of revoked certificates. */
function identifyCollateral(bytes: Uint8Array, name: string, roots: readonly Uint8Array[]) {
  return identifyRim(bytes, name, roots) ?? identifyAuthorityList(bytes, roots);
}

const CODES: Readonly<Record<NvidiaWord, ErrorCode>> = {
  malformed: 'evidence_malformed',
  trailing_bytes: 'evidence_malformed',
  nonce_mismatch: 'evidence_binding_mismatch',
  chain_incomplete: 'endorsement_untrusted',
  untrusted_root: 'endorsement_untrusted',
  certificate_expired: 'evidence_expired',
  certificate_not_yet_valid: 'evidence_expired',
  leaf_without_fwid: 'endorsement_untrusted',
  fwid_mismatch: 'evidence_signature_invalid',
  report_signature_invalid: 'evidence_signature_invalid',
};

async function verify(
  body: Readonly<Record<string, unknown>>,
  context: VerificationContext,
  memo: IssuerMemo,
): Promise<VerifiedGpu | Refusal> {
  const evidence = parseNvidiaEvidence(body);
  if (isRefusal(evidence)) return evidence;
  const roots = anchoredRoots(context, memo);
  if (!roots.some(({ name }) => name === DEVICE_ROOT)) {
    return refuse('endorsement_untrusted', 'this vault has no trust anchor for nvidia-gpu');
  }
  const { now, collateral } = context;
  const examined = examineParts({ evidence: evidence.report, companions: { chain: evidence.chain }, parameters: {}, roots, now }, memo);
  const refusal = refusalOf(examined);
  if (refusal !== undefined) return refusal;
  const { report, facts, architecture, chain } = examined;
  if (report === undefined || facts === undefined) throw new Error('a report without findings can be read');
  const expected = gpuNonce(context);
  if (!equalBytes(report.nonce, expected)) {
    const failed = failedBytes('nonce', expected, report.nonce);
    return refuse('evidence_binding_mismatch', 'the nonce is not the one of this challenge and key', { failed });
  }
  const lists = await checkAuthorityLists(chain, { collateral, now, memo });
  if (lists.revoked !== undefined) {
    return refuse('endorsement_revoked', `NVIDIA revoked ${nameText(lists.revoked.subject)}, which the device is certified under`);
  }
  const state = await endorsedState({ report, facts, architecture, collateral, roots, now, memo });
  return {
    kind: 'nvidia-gpu',
    facts: verifiedFacts(facts, architecture, chain, { ...state, isStale: state.isStale || lists.isStale }),
    endorsements: [
      ...certificateEndorsements(['device report certificate', 'device certificate'], chain),
      ...lists.endorsements,
      ...state.endorsements,
    ],
  };
}

/** Under the names that the examinations know the two by; what administrators call them is their own. */
function anchoredRoots({ anchors }: VerificationContext, memo: IssuerMemo): readonly PinnedRoot[] {
  const own = anchors.flatMap((anchor) => (anchor.kind === 'nvidia-gpu' ? [anchor as VendorRootAnchor] : [])); // told apart by its kind
  const named = (some: readonly VendorRootAnchor[], name: string) =>
    rootsOf('nvidia-gpu', 'nvidia', some, memo).map((root) => ({ ...root, name }));
  const forRims = own.filter(({ use }) => use === 'reference-values').map((anchor) => ({ ...anchor, use: undefined }));
  return [...named(own, DEVICE_ROOT), ...named(forRims, RIM_ROOT)];
}

function refusalOf({ found }: ExaminedReport): Refusal | undefined {
  const [first] = found;
  const words = [...found];
  return first === undefined
    ? undefined
    : refuse(CODES[first], `the report: ${words.join(', ')}`, { failed: failedFindings('report', words) });
}

function verifiedFacts(
  facts: ReportFacts,
  architecture: string | undefined,
  chain: readonly Certificate[],
  { driverMatched, vbiosMatched, isStale }: EndorsedState,
): Facts {
  const { driverVersion, vbiosVersion, project, projectSku, chipSku, mode } = facts;
  const stated = Object.entries({ driverVersion, project, projectSku, chipSku }).filter(([, value]) => value !== null);
  const isReleased = driverMatched && vbiosMatched;
  return {
    deviceId: deviceIdOf(chain),
    architecture: architecture ?? 'unknown',
    model: modelOf(facts),
    ...(Object.fromEntries(stated) as Record<string, string>), // the ones that are text
    vbiosVersion: vbiosVersion ?? 'unknown',
    mode,
    confidentialMode: isReleased,
    ...(isReleased && { debug: false }),
    driverRimMatched: driverMatched,
    vbiosRimMatched: vbiosMatched,
    revocation: 'unknown',
    collateralStale: isStale,
  };
}

/** The first certificate's key changes with the firmware it is derived for; the second one is of the device for life. */
function deviceIdOf([first, device = first]: readonly Certificate[]): string {
  if (device === undefined) throw new Error('a chain without certificates');
  return createHash('sha256')
    .update(device.publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

/** Verifies evidence of kind `nitro` (docs/formats/evidence-nitro.md). */
import { equalBytes, toHex } from '../../domain/bytes.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import {
  failedBytes,
  failedFindings,
  isRefusal,
  type Refusal,
  refuse,
  teeReportData,
  type VerifiedWorkload,
} from '../../domain/evidence.ts';
import type { Facts } from '../../domain/facts.ts';
import { certificateEndorsements } from '../endorsements.ts';
import type { EvidenceVerifier, VerificationContext } from '../port.ts';
import { rootsOf } from '../vendor-roots.ts';
import { findWorkload } from '../workload.ts';
import { IssuerMemo } from '../x509/path.ts';
import type { NitroDocument } from './document.ts';
import { parseNitroEvidence } from './evidence.ts';
import { type ExaminedDocument, examineParts, isDebug, type NitroWord } from './examine.ts';

export function createNitroVerifier(): EvidenceVerifier<VerifiedWorkload<'nitro'>> {
  const memo = new IssuerMemo();
  return { kind: 'nitro', verify: (body, context) => verify(body, context, memo) };
}

/** What a finding is to the one who asks. Debug is refused by the appraisal, which knows whose it is. */
const CODES: Readonly<Record<Exclude<NitroWord, 'debug_enabled'>, ErrorCode>> = {
  malformed: 'evidence_malformed',
  trailing_bytes: 'evidence_malformed',
  certificate_malformed: 'evidence_malformed',
  missing_cabundle: 'endorsement_untrusted',
  chain_incomplete: 'endorsement_untrusted',
  untrusted_root: 'endorsement_untrusted',
  certificate_expired: 'evidence_expired',
  certificate_not_yet_valid: 'evidence_expired',
  cose_signature_invalid: 'evidence_signature_invalid',
  nonce_mismatch: 'evidence_binding_mismatch',
};

async function verify(
  body: Readonly<Record<string, unknown>>,
  context: VerificationContext,
  memo: IssuerMemo,
): Promise<VerifiedWorkload<'nitro'> | Refusal> {
  const evidence = parseNitroEvidence(body);
  if (isRefusal(evidence)) return evidence;
  const roots = rootsOf('nitro', 'aws', context.anchors, memo);
  if (roots.length === 0) return refuse('endorsement_untrusted', 'this vault has no trust anchor for nitro');
  const examined = examineParts({ evidence: evidence.document, companions: {}, parameters: {}, roots, now: context.now }, memo);
  const document = examined.document as NitroDocument; // whole, or there is a finding: the next line
  const refusal = refusalOf(examined) ?? bindingRefusal(document, context);
  if (refusal !== undefined) return refusal;
  const facts = factsOf(document);
  const attester = await findWorkload('nitro', facts, context);
  if (isRefusal(attester)) return attester;
  const names = ['enclave certificate', ...examined.path.slice(1).map(() => 'issuer certificate')];
  return { kind: 'nitro', attester, facts, endorsements: certificateEndorsements(names, examined.path) };
}

function refusalOf({ findings }: ExaminedDocument): Refusal | undefined {
  const [code] = findings.flatMap((word) => (word === 'debug_enabled' ? [] : CODES[word]));
  return code === undefined
    ? undefined
    : refuse(code, `the document: ${findings.join(', ')}`, { failed: failedFindings('document', findings) });
}

/** Both: the nonce is the challenge, so that it is fresh; the user data is B, so that it is for this key and vault. */
function bindingRefusal({ nonce, userData }: NitroDocument, { challengeNonce, binding }: VerificationContext): Refusal | undefined {
  if (nonce === null || !equalBytes(nonce, challengeNonce)) {
    const failed = failedBytes('nonce', challengeNonce, nonce);
    return refuse('evidence_binding_mismatch', 'the nonce is not the one of the challenge', { failed });
  }
  const expected = teeReportData(binding);
  if (userData === null || !equalBytes(userData, expected)) {
    const failed = failedBytes('user_data', expected, userData);
    return refuse('evidence_binding_mismatch', 'the user data is not SHA-512 of the binding', { failed });
  }
  return undefined;
}

function factsOf({ moduleId, timestampMs, pcrs }: NitroDocument): Facts {
  const measured = [...pcrs].map(([index, value]) => [`pcr${index}`, toHex(value)] as const);
  return { moduleId, timestampMs, ...Object.fromEntries(measured), debug: isDebug(pcrs) };
}

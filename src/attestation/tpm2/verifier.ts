/** EvidenceVerifier of kind `tpm2`: a quote by an attestation key that there is a reason to believe (key-trust.ts). */
import { failedClaim, isRefusal, type Refusal, refuse, tpm2ExtraData, type VerifiedTpm2 } from '../../domain/evidence.ts';
import type { Facts } from '../../domain/facts.ts';
import { identifyAuthorityList } from '../authority-lists.ts';
import { bootFacts } from '../event-log/boot-facts.ts';
import type { EvidenceVerifier, ReportChecks, VerificationContext } from '../port.ts';
import { IssuerMemo } from '../x509/path.ts';
import { KNOWN_CRITICAL } from './ak-path.ts';
import { compareWithLog, quotedFacts } from './boot-log.ts';
import { endorsesTpms } from './endorsement.ts';
import { parseTpm2Evidence, type Tpm2Evidence } from './evidence.ts';
import { requesterOf, trustKey } from './key-trust.ts';
import { hasAttributes, type PublicArea } from './public-area.ts';
import type { Quote } from './quote.ts';
import { verifyExtraData, verifyPcrs, verifyQuoteSignature } from './verify-quote.ts';

/** `reports`: the hardware reports that Azure binds a TPM with are other kinds' to verify. */
export function createTpm2Verifier(reports: ReportChecks): EvidenceVerifier<VerifiedTpm2> {
  const memo = new IssuerMemo();
  return {
    kind: 'tpm2',
    verify: (body, context) => verifyTpm2(body, context, { reports, memo }),
    identifyCollateral: (bytes, _name, roots) => identifyAuthorityList(bytes, roots, KNOWN_CRITICAL),
  };
}

async function verifyTpm2(
  body: Readonly<Record<string, unknown>>,
  context: VerificationContext,
  tools: { readonly reports: ReportChecks; readonly memo: IssuerMemo },
): Promise<VerifiedTpm2 | Refusal> {
  const evidence = parseTpm2Evidence(body);
  if (isRefusal(evidence)) return evidence;
  const { ak, quote, pcrs } = evidence;

  const unsuitable = checkAttestationKey(ak);
  if (unsuitable !== undefined) return unsuitable;
  const trust = await trustKey({ evidence, context, ...tools });
  if (isRefusal(trust)) return trust;
  const unsigned = verifyQuoteSignature(evidence, ak.key, ak.scheme);
  if (unsigned !== undefined) return unsigned;

  // From here on the key is known to have made the quote, so a refusal may name whose it is. Before, anyone could have borrowed its public half.
  const attester = await requesterOf(trust, context);
  if (isRefusal(attester)) return attester;
  const wrong =
    verifyExtraData(quote, tpm2ExtraData(context.binding)) ??
    verifyPcrs(evidence, pcrs) ??
    verifyLog(evidence) ??
    stillEndorsed(trust.facts, context);
  if (wrong !== undefined) return { ...wrong, subject: attester };
  const { anchoredBy, proved, endorsements } = trust;
  return {
    kind: 'tpm2',
    attester,
    pcrs,
    facts: { ...trust.facts, ...factsOf(quote), ...loggedFacts(evidence) },
    endorsements,
    ...(anchoredBy && { anchoredBy }),
    ...(proved && { proved }),
  };
}

/**
 * An activated key was endorsed under anchors that were in force then. Without one that endorses TPMs today, nothing endorses it any more; which
 * of several it was is not remembered (docs/formats/enrolment.md).
 */
function stillEndorsed(facts: Facts, { anchors }: VerificationContext): Refusal | undefined {
  if (facts['akTrust'] !== 'activation' || anchors.some(endorsesTpms)) return undefined;
  return refuse('endorsement_untrusted', 'no trust anchor for tpm2 is in force');
}

/**
 * A restricted key never signs outside bytes that look like a quote (part 1, restricted signing keys); the fixed attributes say that it was made in this TPM
 * and cannot leave it. Undefined when the key is fit.
 */
export function checkAttestationKey(ak: PublicArea): Refusal | undefined {
  const fit = hasAttributes(ak, ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'restricted', 'sign'], ['decrypt']);
  if (!fit) {
    const wanted = 'fixedTPM, fixedParent, sensitiveDataOrigin, restricted and sign, not decrypt';
    const failed = failedClaim('attributes of the key', wanted, `0x${ak.attributes.toString(16)}`);
    return refuse('attester_key_unsuitable', `the key must be ${wanted}`, { failed });
  }
  if (ak.scheme === undefined) return refuse('attester_key_unsuitable', 'the key names no signature scheme');
  return undefined;
}

/** Recorded, and usable in policies. For a key outside the endorsement hierarchy the TPM obfuscates counters and firmware version (part 1, attestation). */
function factsOf(quote: Quote): Readonly<Record<string, string>> {
  return {
    clock: quote.clock.toString(),
    resetCount: String(quote.resetCount),
    restartCount: String(quote.restartCount),
    safe: String(quote.safe),
    firmwareVersion: quote.firmwareVersion,
  };
}

/** A log is not needed. One that came along says what the TPM says, or somebody altered it. */
function verifyLog({ eventLog, quote, pcrs }: Tpm2Evidence): Refusal | undefined {
  const differing = eventLog === undefined ? [] : compareWithLog(eventLog, quote.selection, pcrs).differing;
  if (differing.length === 0) return undefined;
  const failed = differing.map(({ pcr, logged, quoted }) => ({
    claim: `PCR ${pcr} as the event log has it`,
    expected: [quoted],
    seen: logged,
  }));
  return refuse('evidence_signature_invalid', `the event log is not what the TPM measured: PCR ${differing[0]?.pcr}`, { failed });
}

function loggedFacts({ eventLog, quote }: Tpm2Evidence): Facts {
  if (eventLog === undefined) return {};
  const logged = quotedFacts(eventLog, quote.selection);
  return { ...(logged.bank !== null && { logBank: logged.bank }), ...bootFacts(logged) };
}

/** EvidenceVerifier of kind `tpm2`: a quote by an attestation key that was enrolled by credential activation. */
import {
  type EnrolledTpm2,
  isRefusal,
  type Refusal,
  refuse,
  tpm2AttesterKey,
  tpm2ExtraData,
  type VerifiedTpm2,
} from '../../domain/evidence.ts';
import type { Facts } from '../../domain/facts.ts';
import type { EvidenceVerifier, VerificationContext } from '../port.ts';
import { compareWithLog, quotedFacts } from './boot-log.ts';
import { parseTpm2Evidence, type Tpm2Evidence } from './evidence.ts';
import { hasAttributes, type PublicArea } from './public-area.ts';
import type { Quote } from './quote.ts';
import { verifyExtraData, verifyPcrs, verifyQuoteSignature } from './verify-quote.ts';

export function createTpm2Verifier(): EvidenceVerifier<VerifiedTpm2> {
  return { kind: 'tpm2', verify: verifyTpm2 };
}

async function verifyTpm2(body: Readonly<Record<string, unknown>>, context: VerificationContext): Promise<VerifiedTpm2 | Refusal> {
  const evidence = parseTpm2Evidence(body);
  if (isRefusal(evidence)) return evidence;
  const { ak, quote, pcrs } = evidence;

  const unsuitable = checkAttestationKey(ak);
  if (unsuitable !== undefined) return unsuitable;
  const attester = await findEnrolled(ak, context);
  if (isRefusal(attester)) return attester;
  const unsigned = verifyQuoteSignature(evidence, ak.key, ak.scheme);
  if (unsigned !== undefined) return unsigned;

  // From here on the attester is known to have made the quote, so a refusal may name it. Before, anyone could have borrowed its public key.
  const wrong = verifyExtraData(quote, tpm2ExtraData(context.binding)) ?? verifyPcrs(evidence, pcrs) ?? verifyLog(evidence);
  if (wrong !== undefined) return { ...wrong, subject: attester };
  return { kind: 'tpm2', attester, pcrs, facts: { ...factsOf(quote), ...bootFacts(evidence) } };
}

/**
 * A restricted key never signs outside bytes that look like a quote (part 1, restricted signing keys); the fixed attributes say that it was made in this TPM
 * and cannot leave it. Undefined when the key is fit.
 */
export function checkAttestationKey(ak: PublicArea): Refusal | undefined {
  const fit = hasAttributes(ak, ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'restricted', 'sign'], ['decrypt']);
  if (!fit)
    return refuse(
      'attester_key_unsuitable',
      'the key must be fixedTPM, fixedParent, sensitiveDataOrigin, restricted and sign, not decrypt',
    );
  if (ak.scheme === undefined) return refuse('attester_key_unsuitable', 'the key names no signature scheme');
  return undefined;
}

/** Another namespace's attester is answered like a stranger: its existence is nobody else's business. */
async function findEnrolled(ak: PublicArea, context: VerificationContext): Promise<EnrolledTpm2 | Refusal> {
  const attester = await context.attester(tpm2AttesterKey(ak.name));
  if (attester?.kind === 'tpm2' && attester.akName === ak.name && attester.namespace === context.namespace) return attester;
  return refuse('attester_key_unknown', `no attester of this namespace is enrolled with attestation key ${ak.name}`);
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

/** Texts of a fact: what is longer, or more, is left out as a whole, because a part of it would say something else. */
const MAX_FACT_TEXTS = 16;
const MAX_FACT_CHARS = 1024;

function bootFacts({ eventLog, quote }: Tpm2Evidence): Facts {
  if (eventLog === undefined) return {};
  const { bank, secureBoot, bootApplications, commandLines } = quotedFacts(eventLog, quote.selection);
  const fits = (texts: readonly string[]) =>
    texts.length > 0 && texts.length <= MAX_FACT_TEXTS && texts.reduce((sum, one) => sum + one.length, 0) <= MAX_FACT_CHARS * 2;
  return {
    ...(bank !== null && { logBank: bank }),
    ...(secureBoot !== null && { secureBoot }),
    ...(fits(bootApplications) && { bootApplications }),
    ...(fits(commandLines) && commandLines.every((line) => plain(line)) && { commandLines }),
  };
}

function plain(text: string): boolean {
  return text.isWellFormed() && text === text.normalize('NFC') && text.length <= MAX_FACT_CHARS && !/\p{Cc}/u.test(text);
}

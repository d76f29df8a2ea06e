/**
 * Attester of kind `nitro`: runs in the enclave. `/dev/nsm` answers one ioctl and nothing that can be read, and Node has no ioctl, so a
 * helper asks it (docs/formats/evidence-nitro.md); what it brings back is looked at before it is sent.
 */
import { equalBytes, toBase64, toHex } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { teeReportData } from '../../domain/evidence.ts';
import { type EvidenceCommand, runCommand } from '../evidence-command.ts';
import type { AnsweredChallenge, Attester, CapturedState } from '../port.ts';
import { Malformed } from '../x509/der.ts';
import { readCoseSign1 } from './cose.ts';
import { MAX_DOCUMENT_BYTES, type NitroDocument, readDocument } from './document.ts';
import type { NitroBody } from './evidence.ts';

export interface NitroAttesterOptions {
  /** Gets WV_USER_DATA and WV_NONCE (hex) in its environment and prints the document as it is. */
  readonly command: EvidenceCommand;
}

export function createNitroAttester({ command }: NitroAttesterOptions): Attester {
  const ask = async (binding: Uint8Array, { challengeNonce }: AnsweredChallenge) => {
    const userData = teeReportData(binding);
    const output = await runCommand(command, { WV_USER_DATA: toHex(userData), WV_NONCE: toHex(challengeNonce) }, MAX_DOCUMENT_BYTES);
    const document = readOutput(output, command);
    const { userData: shown, nonce } = document;
    if (!shown || !nonce || !equalBytes(shown, userData) || !equalBytes(nonce, challengeNonce)) {
      throw new VaultError('usage', `${command[0]}: the document does not carry what was asked for`);
    }
    return { output, document };
  };
  return {
    kind: 'nitro',
    attest: async (binding, challenge): Promise<NitroBody> => ({ document: toBase64((await ask(binding, challenge)).output) }),
    capture: async (binding, challenge) => stateOf((await ask(binding, challenge)).document),
  };
}

/** The image, and who signed it when somebody did. */
function stateOf({ pcrs = new Map<number, Uint8Array>() }: Partial<NitroDocument>): CapturedState {
  const measured = [0, 1, 2, 8].flatMap((index) => {
    const value = pcrs.get(index);
    return value?.some((byte) => byte !== 0) ? [[`pcr${index}`, [toHex(value)]] as const] : [];
  });
  if (measured.length === 0) throw new VaultError('usage', 'an enclave in debug mode measures nothing');
  return { kind: 'nitro', claims: Object.fromEntries(measured) };
}

function readOutput(output: Uint8Array, [program]: EvidenceCommand): Partial<NitroDocument> {
  try {
    return readDocument(readCoseSign1(output).payload).document;
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new VaultError('usage', `${program} printed no attestation document`, { cause });
  }
}

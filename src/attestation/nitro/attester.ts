/**
 * Attester of kind `nitro`: runs in the enclave. `/dev/nsm` answers one ioctl and nothing that can be read, and Node has no ioctl, so a
 * helper asks it (docs/formats/evidence-nitro.md); what it brings back is looked at before it is sent.
 */
import { equalBytes, toBase64, toHex } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { teeReportData } from '../../domain/evidence.ts';
import { type EvidenceCommand, runCommand } from '../evidence-command.ts';
import type { Attester } from '../port.ts';
import { Malformed } from '../x509/der.ts';
import { readCoseSign1 } from './cose.ts';
import { MAX_DOCUMENT_BYTES, type NitroDocument, readDocument } from './document.ts';
import type { NitroBody } from './evidence.ts';

export interface NitroAttesterOptions {
  /** Gets WV_USER_DATA and WV_NONCE (hex) in its environment and prints the document as it is. */
  readonly command: EvidenceCommand;
}

export function createNitroAttester({ command }: NitroAttesterOptions): Attester {
  return {
    kind: 'nitro',
    async attest(binding, { challengeNonce }): Promise<NitroBody> {
      const userData = teeReportData(binding);
      const output = await runCommand(command, { WV_USER_DATA: toHex(userData), WV_NONCE: toHex(challengeNonce) }, MAX_DOCUMENT_BYTES);
      const { userData: shown, nonce } = readOutput(output, command);
      if (!shown || !nonce || !equalBytes(shown, userData) || !equalBytes(nonce, challengeNonce)) {
        throw new VaultError('usage', `${command[0]}: the document does not carry what was asked for`);
      }
      return { document: toBase64(output) };
    },
  };
}

function readOutput(output: Uint8Array, [program]: EvidenceCommand): Partial<NitroDocument> {
  try {
    return readDocument(readCoseSign1(output).payload).document;
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new VaultError('usage', `${program} printed no attestation document`, { cause });
  }
}

/** Attester of kind `nvidia-gpu`: NVIDIA's own tool collects, `nvattest collect-evidence` or a script over its SDK, and prints JSON. */
import * as z from 'zod';
import { equalBytes, toBase64, toHex } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { gpuNonce } from '../../domain/evidence.ts';
import { type EvidenceCommand, runCommand } from '../evidence-command.ts';
import { KINDS } from '../kinds.ts';
import type { AnsweredChallenge, CapturedState, DeviceAttester } from '../port.ts';
import { Malformed } from '../x509/der.ts';
import type { NvidiaBody } from './evidence.ts';
import { MAX_CHAIN_BYTES } from './examine.ts';
import { factsOf } from './opaque.ts';
import { MAX_REPORT_BYTES, readReport } from './report.ts';

export interface NvidiaAttesterOptions {
  /** `{nonce}` in an argument becomes the nonce in hex; WV_NONCE in its environment is the same. */
  readonly command: EvidenceCommand;
}

/** Twelve devices with 10 KiB of base64 each, and what the tool adds. */
const MAX_OUTPUT_BYTES = 1 << 20;

const base64 = (maxBytes: number) => z.string().max(Math.ceil(maxBytes / 3) * 4);
/** Per device: `evidence` is request and response, `certificate` the chain as PEM, both in base64; other members are left alone. */
const devices = z
  .array(z.object({ evidence: base64(MAX_REPORT_BYTES), certificate: base64(MAX_CHAIN_BYTES) }))
  .min(1)
  .max(KINDS['nvidia-gpu'].maxPieces);
/** The SDK prints the list, `nvattest` an object around it. */
const output = z.union([devices, z.object({ evidences: devices }).transform(({ evidences }) => evidences)]);

export function createNvidiaAttester({ command: [program, ...args] }: NvidiaAttesterOptions): DeviceAttester {
  const attestDevices = async (challenge: AnsweredChallenge): Promise<readonly NvidiaBody[]> => {
    const nonce = gpuNonce(challenge);
    const asked = args.map((argument) => argument.replaceAll('{nonce}', toHex(nonce)));
    const printed = await runCommand([program, ...asked], { WV_NONCE: toHex(nonce) }, MAX_OUTPUT_BYTES);
    return readOutput(printed, program).map(({ evidence, certificate }) => bodyOf(evidence, certificate, nonce, program));
  };
  return {
    kind: 'nvidia-gpu',
    attestDevices,
    captureDevices: async (challenge) => {
      const states = (await attestDevices(challenge)).map(({ report }) => stateOf(new Uint8Array(Buffer.from(report, 'base64'))));
      return [...new Map(states.map((state) => [JSON.stringify(state), state])).values()]; // eight GPUs of one board are alike
    },
  };
}

/** The versions of what runs there: what they measure is NVIDIA's to say, in its signed RIMs. */
function stateOf(report: Uint8Array): CapturedState {
  const { driverVersion, vbiosVersion } = factsOf(readReport(report).opaque);
  const stated = Object.entries({ driverVersion, vbiosVersion }).flatMap(([name, value]) =>
    value === null ? [] : [[name, [value]] as const],
  );
  return { kind: 'nvidia-gpu', claims: Object.fromEntries(stated) };
}

function readOutput(printed: Uint8Array, program: string): z.output<typeof output> {
  try {
    return output.parse(JSON.parse(Buffer.from(printed).toString('utf8')));
  } catch (cause) {
    throw new VaultError('usage', `${program} printed no evidence of devices`, { cause });
  }
}

/** A report for another nonce is refused by the vault in any case; here it says whose fault it is. */
function bodyOf(evidence: string, certificate: string, nonce: Uint8Array, program: string): NvidiaBody {
  const report = new Uint8Array(Buffer.from(evidence, 'base64'));
  if (!equalBytes(nonceOf(report, program), nonce)) throw new VaultError('usage', `${program} answered another nonce than it was given`);
  return { report: toBase64(report), chain: toBase64(new Uint8Array(Buffer.from(certificate, 'base64'))) };
}

function nonceOf(report: Uint8Array, program: string): Uint8Array {
  try {
    const { nonce, faults } = readReport(report);
    if (faults.length > 0) throw new Malformed(faults.join(', '));
    return nonce;
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new VaultError('usage', `${program} printed something that is no report`, { cause });
  }
}

/** `--witness` and `--quorum`: whose cosignatures a checkpoint must show, for whoever verifies without the vault. */
import { type Command, InvalidArgumentError } from 'commander';
import { assertWitnessed, type Cosignature, parseWitnessVkey } from '../audit/cosignature.ts';
import { VaultError } from '../domain/errors.ts';
import { collect } from './command.ts';

export interface WitnessOptions {
  readonly witness?: readonly string[];
  readonly quorum?: number;
}

export function witnessOptions(command: Command): Command {
  const parse = (text: string): number => {
    if (!/^[1-9][0-9]?$/.test(text)) throw new InvalidArgumentError('It is 1 to 99.');
    return Number(text);
  };
  return command
    .option('--witness <vkey>', 'verifier key of a witness that must have cosigned the checkpoint; as often as wanted', collect)
    .option('--quorum <n>', 'how many of them must have; all when it is not said', parse);
}

/** Throws `note_signature_invalid` when fewer did. */
export function assertAskedWitnesses(
  checkpoint: Uint8Array,
  { witness = [], quorum = witness.length }: WitnessOptions,
): readonly Cosignature[] {
  if (quorum > witness.length) throw new VaultError('usage', '--quorum is more than there are witnesses');
  if (witness.length === 0) return [];
  return assertWitnessed(checkpoint, { witnesses: witness.map(parseWitnessVkey), quorum });
}

/** `witnessed by w1.example/a at 2026-12-01T12:00:00.000Z`, or nothing. */
export function inWords(cosignatures: readonly Cosignature[]): string[] {
  return cosignatures.map(({ witness, timeSeconds }) => `witnessed by ${witness.name} at ${new Date(timeSeconds * 1000).toISOString()}`);
}

/** `wv receipt`: check what a vault said of a release, years later and without it. */
import type { Command } from 'commander';
import { parseProof } from '../audit/proof.ts';
import { openReceipt } from '../audit/receipt.ts';
import { VaultError } from '../domain/errors.ts';
import { addCommand, addGroup } from './command.ts';
import { readUserFile } from './files.ts';
import { print } from './output.ts';
import { assertAskedWitnesses, inWords, type WitnessOptions, witnessOptions } from './witness-options.ts';

export function registerReceipt(program: Command): void {
  const receipt = addGroup(program, 'receipt', 'Receipts: proof that a release is in the access log');
  witnessOptions(
    addCommand(receipt, 'verify <file>', 'Verify a receipt with nothing but the log key, and show what it proves', [
      'wv receipt verify --vkey "$(cat log.vkey)" llama-70b.receipt',
      'wv receipt verify --vkey "$(cat log.vkey)" --json llama-70b.receipt',
      'wv receipt verify --vkey "$(cat log.vkey)" --witness "$(cat witness.vkey)" crown.receipt',
    ]),
  )
    .requiredOption('--vkey <key>', "the log's verifier key, as `wv init` printed it")
    .action((file: string, options: Options) => verify(file, options));
}

interface Options extends WitnessOptions {
  readonly vkey: string;
  readonly json?: boolean;
}

async function verify(file: string, options: Options): Promise<void> {
  const receipt = await readUserFile(file);
  const { index, checkpoint, leaf } = openReceipt(receipt, options.vkey);
  const seen = assertAskedWitnesses(parseProof(receipt).checkpoint, options);
  const record = recordIn(leaf);
  const { origin, size } = checkpoint;
  print(options, { index, origin, size, record }, [
    `Record ${index} of ${origin}, under its signed checkpoint of ${size} records:`,
    ...inWords(seen),
    JSON.stringify(record, null, 2),
  ]);
}

/** The signature covers bytes; that they are the record of a release that was permitted is for us to see. */
function recordIn(leaf: Uint8Array): Readonly<Record<string, unknown>> {
  const record: unknown = JSON.parse(new TextDecoder().decode(leaf)); // proven: whoever signs the log wrote canonical JSON
  const permits = typeof record === 'object' && record !== null && 'type' in record && record.type === 'release.begin';
  if (!permits) throw new VaultError('proof_invalid', 'the record is in the log, and is not the begin of a release');
  return record as Readonly<Record<string, unknown>>;
}

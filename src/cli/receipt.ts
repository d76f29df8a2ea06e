/** `wv receipt`: check what a vault said of a release, years later and without it. */
import type { Command } from 'commander';
import { openReceipt } from '../audit/receipt.ts';
import { VaultError } from '../domain/errors.ts';
import { addCommand, addGroup } from './command.ts';
import { readUserFile } from './files.ts';
import { print } from './output.ts';

export function registerReceipt(program: Command): void {
  const receipt = addGroup(program, 'receipt', 'Receipts: proof that a release is in the access log');
  addCommand(receipt, 'verify <file>', 'Verify a receipt with nothing but the log key, and show what it proves', [
    'wv receipt verify --vkey "$(cat log.vkey)" llama-70b.receipt',
    'wv receipt verify --vkey "$(cat log.vkey)" --json llama-70b.receipt',
  ])
    .requiredOption('--vkey <key>', "the log's verifier key, as `wv init` printed it")
    .action((file: string, options: { vkey: string; json?: boolean }) => verify(file, options));
}

async function verify(file: string, options: { vkey: string; json?: boolean }): Promise<void> {
  const { index, checkpoint, leaf } = openReceipt(await readUserFile(file), options.vkey);
  const record = recordIn(leaf);
  const { origin, size } = checkpoint;
  print(options, { index, origin, size, record }, [
    `Record ${index} of ${origin}, under its signed checkpoint of ${size} records:`,
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

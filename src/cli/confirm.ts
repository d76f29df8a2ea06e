/** Acts that cannot be taken back ask first. */
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { VaultError } from '../domain/errors.ts';

/** Adds `--yes`, for scripts. */
export function confirmOption(command: Command): Command {
  return command.option('--yes', 'do not ask: you are sure');
}

/** Asks the person to type `name` (of what the act is about). Without a terminal `--yes` must be there. Throws `usage` when it is not confirmed. */
export async function confirm(options: { readonly yes?: boolean }, act: string, name: string): Promise<void> {
  if (options.yes === true) return;
  if (!process.stdin.isTTY) throw new VaultError('usage', `${act} cannot be taken back: add --yes`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const typed = await terminal.question(`${act} cannot be taken back. Type ${name} to go on: `);
    if (typed.trim() !== name) throw new VaultError('usage', 'not confirmed, so nothing was done');
  } finally {
    terminal.close();
  }
}

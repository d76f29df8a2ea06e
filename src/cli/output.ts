import type { Command } from 'commander';

/** Every command that answers something takes --json: one JSON object on standard output, for programs. */
export function withJson(command: Command): Command {
  return command.option('--json', 'print one JSON object instead of text');
}

/** Prints `value` as JSON, or the lines of `text` for a person. */
export function print(options: { readonly json?: boolean }, value: object, text: readonly string[]): void {
  process.stdout.write(options.json ? `${JSON.stringify(value)}\n` : `${text.join('\n')}\n`);
}

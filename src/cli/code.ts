/** The six digits of an authenticator app. On a command line everybody on the machine can read them in `ps`; typed or piped, nobody can. */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import type { Command } from 'commander';
import { VaultError } from '../domain/errors.ts';

const MAX_LINE_BYTES = 64;

export interface CodeOptions {
  readonly code?: string;
  readonly codeStdin?: boolean;
}

/** Where a code can come from; `process.stdin` fits. */
export type CodeSource = NodeJS.ReadableStream & { readonly isTTY?: boolean };

export function codeOptions(command: Command): Command {
  return command
    .option('--code <digits>', 'the six digits your authenticator app shows; others on this machine can see them in `ps`')
    .option('--code-stdin', 'read the six digits from standard input');
}

/** Of `--code`, else of standard input, else typed at the terminal without being shown. Throws `usage` where there is none of them. */
export async function readCode(options: CodeOptions, input: CodeSource = process.stdin): Promise<string> {
  if (options.code !== undefined && options.codeStdin === true) throw new VaultError('usage', '--code and --code-stdin exclude each other');
  if (options.code !== undefined) return options.code;
  if (options.codeStdin === true) return firstLine(input);
  if (input.isTTY !== true) throw new VaultError('usage', 'no terminal to ask for the code: give --code-stdin or --code');
  return typed(input);
}

async function firstLine(input: CodeSource): Promise<string> {
  let text = '';
  for await (const chunk of input) {
    text += String(chunk);
    if (text.includes('\n') || text.length > MAX_LINE_BYTES) break;
  }
  const [line = ''] = text.split('\n');
  if (line.trim() === '' || line.length > MAX_LINE_BYTES) throw new VaultError('usage', 'standard input holds no code');
  return line.trim();
}

async function typed(input: CodeSource): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input, output: nowhere, terminal: true });
  process.stderr.write('Code of your authenticator app: '); // from here on the terminal itself shows nothing
  // Ctrl-C here is a key, not a signal: the terminal is raw while it is read.
  const interrupted = new Promise<never>((_, reject) => {
    terminal.once('SIGINT', () => reject(new VaultError('interrupted', 'ended by Ctrl-C')));
    terminal.once('close', () => reject(new VaultError('usage', 'no code was typed')));
  });
  try {
    return (await Promise.race([terminal.question(''), interrupted])).trim();
  } finally {
    terminal.close();
    process.stderr.write('\n');
  }
}

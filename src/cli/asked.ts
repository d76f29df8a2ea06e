/** What commands share that ask for something which may take a fresh code and a second administrator. */
import type { Command } from 'commander';
import { codeOptions } from './code.ts';
import { addAdminCommand } from './command.ts';
import type { AdminOptions } from './kit.ts';
import { print } from './output.ts';

/** A command whose act may take a fresh code. */
export const steppedUp = (...command: Parameters<typeof addAdminCommand>): Command => codeOptions(addAdminCommand(...command));

/** Says that it was done, or which command another administrator runs. */
export function asked(answer: Record<string, unknown>, options: Pick<AdminOptions, 'json' | 'namespace'>): void {
  const state = String(answer['state']);
  const [request, digest] = [String(answer['requestId']), String(answer['operationDigest'])];
  const where = options.namespace === 'default' ? '' : ` --namespace ${options.namespace}`;
  print(options, answer, [
    state === 'executed' ? `Done: request ${request}.` : `Waits for another administrator: wv approve${where} ${request} ${digest}`,
  ]);
}

/** What the commands that read the log of a running vault take. */
import type { Command } from 'commander';
import { addCommand } from './command.ts';

export interface LogOptions {
  readonly kit: string;
  /** Absent: the whole log. */
  readonly namespace?: string;
  readonly json?: boolean;
}

/** Like addAdminCommand, but without a namespace it is about the whole log. */
export function addLogCommand(log: Command, usage: string, description: string, examples: readonly [string, string, ...string[]]): Command {
  return addCommand(log, usage, description, examples)
    .requiredOption('--kit <folder>', "the administrator's kit, made by `wv init`")
    .option('--namespace <name>', 'records of this namespace alone; else of all, for whoever may read all');
}

export function logPath({ namespace }: Pick<LogOptions, 'namespace'>): string {
  return namespace === undefined ? '/v1/log' : `/v1/namespaces/${encodeURIComponent(namespace)}/log`;
}

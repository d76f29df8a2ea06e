/** `wv doctor`: what stands between this vault and its promises, and what to do about it. docs/doctor.md. */
import type { Command } from 'commander';
import { VaultError } from '../domain/errors.ts';
import { addCommand } from './command.ts';
import { FINDINGS, type Finding, worstOf } from './doctor/findings.ts';
import { EXIT_CODES } from './exit-codes.ts';
import { print } from './output.ts';

interface Options {
  readonly config: string;
  readonly ready?: boolean;
  readonly json?: boolean;
}

export function registerDoctor(program: Command): void {
  addCommand(program, 'doctor', 'Examine this machine, its files, keys, people and policies; ends with 3 when something is critical', [
    'wv doctor --config vault/vault.json',
    'wv doctor --config vault/vault.json --json',
    'wv doctor --config vault/vault.json --ready',
  ])
    .requiredOption('--config <file>', 'vault.json of the vault; it may serve or be stopped')
    .option('--ready', 'only ask whether the vault can serve now, and end: 0 it can, 4 not now')
    .action((options: Options) => (options.ready === true ? ready(options) : doctor(options)));
}

async function doctor(options: Options): Promise<void> {
  const { examine } = await import('./doctor/examine.ts');
  const { machineFacts } = await import('./doctor/facts.ts');
  const findings = await examine(options.config, machineFacts(new Date()));
  const worst = worstOf(findings);
  const told = findings.map(({ id, severity, seen }) => ({ id, severity, seen, ...(needsWork(severity) && { toDo: FINDINGS[id][1] }) }));
  print(options, { worst, findings: told }, [...told.flatMap(lines), '', summary(findings)]);
  if (worst === 'critical') process.exitCode = EXIT_CODES.refused[0];
}

const needsWork = (severity: Finding['severity']) => severity === 'warning' || severity === 'critical';

function lines({ id, severity, seen, toDo }: Finding & { readonly toDo?: string }): string[] {
  const said = seen.replaceAll(/\p{Cc}/gu, '?'); // names and paths may come from a machine that lies
  return [`${severity.padEnd(9)}${id}: ${said}`, ...(toDo === undefined ? [] : [`         ${toDo}`])];
}

function summary(findings: readonly Finding[]): string {
  const count = (wanted: Finding['severity']) => findings.filter(({ severity }) => severity === wanted).length;
  return `${count('critical')} critical, ${count('warning')} warnings, ${count('unknown')} unknown, ${count('info')} to know, ${count('ok')} in order.`;
}

async function ready(options: Options): Promise<void> {
  const { loadConfig } = await import('../config/config.ts');
  const { askPlanes } = await import('./doctor/ready.ts');
  const planes = await askPlanes(loadConfig(options.config));
  const said = planes.map(({ plane, status }) => `${plane} plane ${status}`).join(', ');
  const good = planes.some(({ status }) => status === 'ready') && !planes.some(({ status }) => status === 'unready');
  if (!good) throw new VaultError('vault_unreachable', said);
  print(options, { ready: true, planes }, [said]);
}

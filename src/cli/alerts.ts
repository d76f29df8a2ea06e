/** `wv alerts`: rules that watch the access log. */
import { type Command, InvalidArgumentError } from 'commander';
import type { BacktestOptions, TestOptions } from './alert-rules.ts';
import { codeOptions } from './code.ts';
import { addCommand, addGroup, collect } from './command.ts';

export function registerAlerts(program: Command): void {
  const alerts = addGroup(program, 'alerts', 'Rules that watch the access log, and what they raised');
  addKitCommand(alerts, 'ls', 'What was raised, newest first', [
    'wv alerts ls --kit kits/bob',
    'wv alerts ls --kit kits/bob --limit 10 --json',
  ])
    .option('--limit <n>', 'how many, at most 100', parseLimit, 100)
    .action(async (options) => (await import('./alerts-raised.ts')).list(options));
  addKitCommand(alerts, 'show <record>', 'One alert, by the id of its record', [
    'wv alerts show --kit kits/bob 01890000-0000-7000-8000-000000000000',
    'wv alerts show --kit kits/bob --json 01890000-0000-7000-8000-000000000000',
  ]).action(async (record, options) => (await import('./alerts-raised.ts')).show(record, options));
  codeOptions(
    addKitCommand(alerts, 'set [folder]', 'Ask for the Sigma files of a folder to be the rules in force (default: the shipped ones)', [
      'wv alerts set --kit kits/alice fleet/alerts',
      'wv alerts set --kit kits/alice --json',
    ]),
  ).action(async (folder, options) => (await import('./alerts-raised.ts')).setRules(folder, options));
  codeOptions(
    addKitCommand(alerts, 'deliver <file>', 'Ask for other receivers of alerts: JSON {"targets": [...], "heartbeatSeconds": 60}', [
      'wv alerts deliver --kit kits/alice receivers.json',
      'wv alerts deliver --kit kits/alice --json receivers.json',
    ]),
  ).action(async (file, options) => (await import('./alerts-raised.ts')).setDelivery(file, options));
  addCommand(alerts, 'test [file...]', 'Check alert rules, and run them over records: one record a line; needs no vault', [
    'wv alerts test',
    'wv alerts test --rules fleet/alerts --fires A01 --silent A08 denials.jsonl',
  ])
    .option('--rules <folder>', 'Sigma files (.yml) to use (default: the shipped ones)')
    .option('--fires <alert>', 'fail unless it fires; as often as wanted', collect)
    .option('--silent <alert>', 'fail when it fires; as often as wanted', collect)
    .action(async (files: string[], options: TestOptions) => (await import('./alert-rules.ts')).test(files, options));
  addCommand(alerts, 'backtest', 'What rules would have raised over the last days of the log; writes nothing', [
    'wv alerts backtest --kit kits/bob --days 30',
    'wv alerts backtest --copy log-copy --days 365 --rules fleet/alerts --json',
  ])
    .requiredOption('--days <n>', 'how far back', parseDays)
    .option('--kit <folder>', "an administrator's kit: read the vault's log")
    .option('--copy <folder>', 'a copy made by `wv log export`, verified by `wv log verify`')
    .option('--rules <folder>', 'Sigma files (.yml) to use (default: the shipped ones)')
    .action(async (options: BacktestOptions) => (await import('./alert-rules.ts')).backtest(options));
}

function addKitCommand(alerts: Command, usage: string, description: string, examples: readonly [string, string]): Command {
  return addCommand(alerts, usage, description, examples).requiredOption('--kit <folder>', "the administrator's kit, made by `wv init`");
}

function parseLimit(text: string): number {
  if (!/^(?:[1-9][0-9]?|100)$/.test(text)) throw new InvalidArgumentError('It is 1 to 100.');
  return Number(text);
}

function parseDays(text: string): number {
  const days = Number(text);
  if (!/^[1-9][0-9]{0,4}$/.test(text)) throw new InvalidArgumentError('It is a number of days.');
  return days;
}

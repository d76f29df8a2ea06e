/** `wv alerts`: rules that watch the access log. */
import { type Command, InvalidArgumentError } from 'commander';
import type { BacktestOptions, TestOptions } from './alert-rules.ts';
import { addCommand, addGroup } from './command.ts';

export function registerAlerts(program: Command): void {
  const alerts = addGroup(program, 'alerts', 'Rules that watch the access log, and what they raised');
  addCommand(alerts, 'test [file...]', 'Check alert rules, and run them over records: one record a line; needs no vault', [
    'wv alerts test',
    'wv alerts test --rules fleet/alerts --fires A01 --silent A08 denials.jsonl',
  ])
    .option('--rules <folder>', 'Sigma files (.yml) to use (default: the shipped ones)')
    .option('--fires <alert...>', 'fail unless these fire')
    .option('--silent <alert...>', 'fail when one of these fires')
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

function parseDays(text: string): number {
  const days = Number(text);
  if (!/^[1-9][0-9]{0,4}$/.test(text)) throw new InvalidArgumentError('It is a number of days.');
  return days;
}

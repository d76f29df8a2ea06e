/** `wv alerts test` and `wv alerts backtest`: rules over records, before they are put in force. Neither writes anything. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { backtest as runBacktest } from '../audit/alerts/backtest.ts';
import { createEngine, type Fired } from '../audit/alerts/engine.ts';
import { loadRuleSet, type RuleSet } from '../audit/alerts/rule-set.ts';
import { VaultError } from '../domain/errors.ts';
import { readUserFile } from './files.ts';
import { copyIn, logOf } from './log-source.ts';
import { aligned, print } from './output.ts';

export const SHIPPED_RULES = new URL('../../policies/alerts/', import.meta.url);

/** The .yml files of a folder: text by name. */
export async function readRuleFiles(folder: string | URL): Promise<Record<string, string>> {
  const path = folder instanceof URL ? folder.pathname : folder;
  const names = (await readdir(path).catch(() => [])).filter((name) => name.endsWith('.yml')).toSorted();
  if (names.length === 0) throw new VaultError('usage', `${path} has no .yml file with rules`);
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readFile(join(path, name), 'utf8')] as const)));
}

async function rulesOf(options: { readonly rules?: string }): Promise<RuleSet> {
  return loadRuleSet(await readRuleFiles(options.rules ?? SHIPPED_RULES));
}

export interface TestOptions {
  readonly rules?: string;
  readonly fires?: readonly string[];
  readonly silent?: readonly string[];
  readonly json?: boolean;
}

/** Each file holds records as `wv log export` writes them to JSON lines: one leaf a line. */
export async function test(files: readonly string[], options: TestOptions): Promise<void> {
  const ruleSet = await rulesOf(options);
  const { fires = [], silent = [] } = options;
  const known = new Set(ruleSet.rules.map(({ alert }) => alert));
  const stranger = [...fires, ...silent].find((alert) => !known.has(alert));
  if (stranger !== undefined) throw new VaultError('usage', `no rule is called ${stranger}`);
  const results = [];
  for (const file of files) results.push({ file, fired: await firedBy(file, ruleSet) });
  const raised = new Set(results.flatMap(({ fired }) => fired.map(({ rule }) => rule.alert)));
  const wrong = [...fires.filter((alert) => !raised.has(alert)), ...silent.filter((alert) => raised.has(alert))];
  const lines = results.flatMap(({ file, fired }) => [`${file}: ${fired.length === 0 ? 'nothing fires' : ''}`.trimEnd(), ...listed(fired)]);
  const json = {
    ok: wrong.length === 0,
    rules: ruleSet.rules.length,
    ruleSet: ruleSet.digest,
    files: results.map(({ file, fired }) => ({ file, fired: fired.map(shown) })),
  };
  print(options, json, [`${ruleSet.rules.length} rules.`, ...lines]);
  if (wrong.length > 0) throw new VaultError('alert_rule_invalid', `not as expected: ${wrong.join(', ')}`);
}

async function firedBy(file: string, ruleSet: RuleSet): Promise<readonly Fired[]> {
  const engine = createEngine(ruleSet);
  const lines = (await readUserFile(file))
    .toString('utf8')
    .split('\n')
    .filter((line) => line.trim() !== '');
  return lines.flatMap((line, index) => engine.observe(index, Buffer.from(line)));
}

export interface BacktestOptions {
  readonly days: number;
  readonly rules?: string;
  readonly kit?: string;
  readonly copy?: string;
  readonly json?: boolean;
}

export async function backtest(options: BacktestOptions): Promise<void> {
  const { kit, copy, days } = options;
  if ((kit === undefined) === (copy === undefined)) throw new VaultError('usage', 'give --kit or --copy');
  const ruleSet = await rulesOf(options);
  const since = new Date(Date.now() - days * 86_400_000);
  const run = (source: Parameters<typeof runBacktest>[0]) => runBacktest(source, ruleSet, since);
  const { from, size, fired } = copy !== undefined ? await run(copyIn(copy)) : await logOf(kit ?? '', run);
  const counts = new Map<string, number>();
  for (const { rule } of fired) counts.set(`${rule.alert} ${rule.title}`, (counts.get(`${rule.alert} ${rule.title}`) ?? 0) + 1);
  const json = {
    from,
    size,
    since: since.toISOString(),
    alerts: fired.length,
    byRule: Object.fromEntries(counts),
    fired: fired.slice(-1_000).map(shown),
  };
  const rows = [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([title, count]) => [String(count), title]);
  const said = `Records ${from} to ${size} of the last ${days} days: ${fired.length} alerts.`;
  print(options, json, fired.length === 0 ? [said] : [said, ...aligned(['ALERTS', 'RULE'], rows)]);
}

function shown({ rule, indexes, group }: Fired) {
  return { alert: rule.alert, title: rule.title, level: rule.level, indexes, group };
}

function listed(fired: readonly Fired[]): string[] {
  const about = (group: Fired['group']) => Object.entries(group).map(([name, value]) => `${name}=${value}`);
  return fired.map(
    ({ rule, indexes, group }) =>
      `  ${rule.alert} ${rule.level}: ${rule.title} (${[`record ${indexes.at(-1)}`, ...about(group)].join(', ')})`,
  );
}

/** A set of Sigma files as something that can be run. Loading refuses what the engine would not do exactly as it is written. */
import { sha256Hex } from '../../domain/bytes.ts';
import { type Digest, parseDigest } from '../../domain/ids.ts';
import { canonicalJson } from '../../domain/json.ts';
import type { AlertLevel } from '../record.ts';
import { conditionTest } from './condition.ts';
import { type CorrelationPlan, conditionOf, spanMs } from './correlation.ts';
import { isLeafField } from './leaf-fields.ts';
import {
  type AlertAction,
  type CorrelationRule,
  type DetectionRule,
  isCorrelation,
  type Matchers,
  parseDocument,
} from './rule-document.ts';
import { selectionTest, type Test } from './selection.ts';
import { invalid, readYaml } from './sigma-yaml.ts';

const FILES = 128;

/** Something that fires. */
export interface AlertRule {
  /** `A01`: several documents may be one alert. */
  readonly alert: string;
  /** UUID of the document. */
  readonly ruleId: string;
  readonly title: string;
  readonly level: AlertLevel;
  readonly action?: AlertAction;
  /** The action is taken by the vault itself. */
  readonly automatic: boolean;
  readonly file: string;
  readonly watch: { readonly test: Test } | { readonly plan: CorrelationPlan };
}

export interface RuleSet {
  /** Of the files, names and texts. */
  readonly digest: Digest;
  readonly rules: readonly AlertRule[];
  /** How far back a leaf can still matter, in milliseconds. */
  readonly spanMs: number;
}

interface Loaded {
  readonly file: string;
  readonly document: DetectionRule | CorrelationRule;
}

/** Throws `alert_rule_invalid`, which names the file and what is wrong. `files`: text by name. */
export function loadRuleSet(files: Readonly<Record<string, string>>): RuleSet {
  const names = Object.keys(files).toSorted();
  if (names.length > FILES) throw invalid('rule set', `has more than ${FILES} files`);
  const loaded = names.flatMap((file) =>
    readYaml(file, files[file] ?? '').map((one): Loaded => ({ file, document: parseDocument(file, one) })),
  );
  const find = referencesOf(loaded);
  const silent = new Set<DetectionRule | CorrelationRule>();
  for (const { file, document } of loaded) {
    if (!isCorrelation(document) || document.correlation.generate === true) continue;
    for (const reference of document.correlation.rules) silent.add(find(file, reference));
  }
  const rules = loaded.filter(({ document }) => !silent.has(document)).map((one) => alertRule(one, find));
  if (rules.length === 0) throw invalid('rule set', 'has no rule that could fire');
  const spans = rules.map(({ watch }) => ('plan' in watch ? watch.plan.spanMs : 0));
  return { digest: parseDigest(sha256Hex(canonicalJson(files))), rules, spanMs: Math.max(...spans) };
}

type Find = (file: string, reference: string) => DetectionRule;

function referencesOf(loaded: readonly Loaded[]): Find {
  const known = new Map<string, DetectionRule | CorrelationRule>();
  for (const { file, document } of loaded) {
    for (const reference of [document.id, document.name]) {
      if (reference === undefined) continue;
      if (known.has(reference)) throw invalid(file, `"${reference}" stands twice`);
      known.set(reference, document);
    }
  }
  return (file, reference) => {
    const found = known.get(reference);
    if (found === undefined) throw invalid(file, `there is no rule "${reference}"`);
    if (isCorrelation(found)) throw invalid(file, 'a correlation of correlations is not supported');
    return found;
  };
}

function alertRule({ file, document }: Loaded, find: Find): AlertRule {
  const { id, title, level, weightvault } = document;
  if (id === undefined || level === undefined || weightvault === undefined) {
    throw invalid(file, `"${title}" would fire, so it needs id, level and weightvault.alert`);
  }
  const { alert, action, automatic = false } = weightvault;
  if (automatic && action === undefined) throw invalid(file, `"${title}": automatic needs an action`);
  const watch = isCorrelation(document) ? { plan: planOf(file, document, find) } : { test: testOf(file, document) };
  return { alert, ruleId: id, title, level, automatic, file, watch, ...(action !== undefined && { action }) };
}

function testOf(file: string, { title, detection }: DetectionRule): Test {
  const name = `${file}: ${title}`;
  const { condition, ...selections } = detection;
  if (typeof condition !== 'string') throw invalid(name, 'has no condition');
  const tests = new Map<string, Test>();
  for (const [key, value] of Object.entries(selections)) {
    if (typeof value === 'string') throw invalid(name, `a keyword search ("${key}") is not supported`);
    tests.set(key, selectionTest(name, value as Matchers | readonly Matchers[]));
  }
  return conditionTest(name, condition, tests);
}

function planOf(file: string, document: CorrelationRule, find: Find): CorrelationPlan {
  const name = `${file}: ${document.title}`;
  const { type, rules, timespan, condition, aliases = {}, 'group-by': groupBy = [] } = document.correlation;
  const fieldOf = (shown: string) =>
    rules.map((reference) => {
      const field = Object.hasOwn(aliases, shown) ? aliases[shown]?.[reference] : shown;
      if (field === undefined || !isLeafField(field)) throw invalid(name, `"${shown}" is no field of what "${reference}" finds`);
      return field;
    });
  return {
    type,
    tests: rules.map((reference) => testOf(file, find(file, reference))),
    spanMs: spanMs(timespan),
    groupBy: groupBy.map((shown) => ({ shown, of: fieldOf(shown) })),
    condition: conditionOf(name, document.correlation),
    ...(condition?.field !== undefined && { field: fieldOf(condition.field) }),
  };
}

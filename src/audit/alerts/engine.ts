/** Runs a rule set over leaves, one after another in the order of the log. The same leaves always give the same alerts. */
import { sha256Hex } from '../../domain/bytes.ts';
import type { Digest } from '../../domain/ids.ts';
import { type Correlation, type CorrelationState, createCorrelation } from './correlation.ts';
import { type Fields, fieldsOf } from './leaf-fields.ts';
import type { AlertRule, RuleSet } from './rule-set.ts';

/** A rule that fired. */
export interface Fired {
  readonly rule: AlertRule;
  /** Of the leaves that made it fire, rising; of very many the last of them. */
  readonly indexes: readonly number[];
  readonly group: Readonly<Record<string, string>>;
  /** The same for the same rule about the same thing: of such alerts one in a while is sent. */
  readonly dedupeKey: string;
  /** What the leaf says that made it fire. */
  readonly fields: Fields;
}

/** What the engine must remember from one process to the next. */
export interface EngineState {
  readonly ruleSet: Digest;
  readonly correlations: Readonly<Record<string, CorrelationState>>;
}

export interface Engine {
  observe(index: number, leaf: Uint8Array): readonly Fired[];
  state(): EngineState;
  /** Groups that were forgotten to bound memory. */
  evicted(): number;
}

/** An alert is no cause for an alert: a rule that matched everything would never end. */
const SILENT = 'alert.raised';

/** `state` of another rule set is not taken. */
export function createEngine({ digest, rules }: RuleSet, state?: EngineState): Engine {
  const known = state?.ruleSet === digest ? state.correlations : {};
  const correlations = new Map<AlertRule, Correlation>();
  for (const rule of rules) if ('plan' in rule.watch) correlations.set(rule, createCorrelation(rule.watch.plan, known[rule.ruleId]));

  return {
    observe(index, leaf) {
      const fields = fieldsOf(leaf);
      if (fields === undefined || fields.get('type')?.[0] === SILENT) return [];
      const timeMs = Date.parse(String(fields.get('time')?.[0]));
      if (Number.isNaN(timeMs)) return [];
      return rules.flatMap((rule): Fired[] => {
        const found = watch(rule, correlations.get(rule), fields, timeMs, index);
        return found === undefined ? [] : [{ rule, fields, ...found }];
      });
    },
    state: () => ({
      ruleSet: digest,
      correlations: Object.fromEntries([...correlations].map(([rule, correlation]) => [rule.ruleId, correlation.state()])),
    }),
    evicted: () => [...correlations.values()].reduce((sum, one) => sum + one.evicted(), 0),
  };
}

function watch(rule: AlertRule, correlation: Correlation | undefined, fields: Fields, timeMs: number, index: number) {
  const found = correlation?.observe(fields, timeMs, index);
  if (found !== undefined) return { indexes: found.indexes, group: found.group, dedupeKey: keyOf(rule, found.groupKey) };
  if (!('test' in rule.watch) || !rule.watch.test(fields)) return undefined;
  const group = aboutOf(fields);
  return { indexes: [index], group, dedupeKey: keyOf(rule, JSON.stringify(group)) };
}

function keyOf(rule: AlertRule, group: string): string {
  return sha256Hex(Buffer.from(`${rule.ruleId} ${group}`));
}

/** What a single leaf is about: who, and what. */
const ABOUT = [
  'namespace',
  'actor.subjectId',
  'actor.spkiDigest',
  'actor.administratorId',
  'object.modelId',
  'document.kind',
  'stop.target',
];

function aboutOf(fields: Fields): Readonly<Record<string, string>> {
  return Object.fromEntries(
    ABOUT.flatMap((name) => {
      const value = fields.get(name)?.[0];
      return value === undefined ? [] : [[name, String(value).slice(0, 128)]];
    }),
  );
}

/**
 * Correlations over time (Sigma specification 2.1, "Correlation rules"): one window for each group. Time is that of the leaves. A window that
 * fired begins anew. What is kept is bounded: of a window no more than can decide it, of a correlation so many groups and entries, and
 * the group that was quiet for longest is forgotten first.
 */
import { sha256Hex } from '../../domain/bytes.ts';
import type { Fields } from './leaf-fields.ts';
import type { CorrelationRule } from './rule-document.ts';
import type { Test } from './selection.ts';
import { invalid } from './sigma-yaml.ts';

const GROUPS = 10_000;
const ENTRIES = 100_000;
/** Parts of the time span that a sum is kept in. */
const SUM_PARTS = 256;
const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

/** A leaf that matched, as the window keeps it: time in milliseconds, index, which of the rules, value. `c`: the leaves before it in order. */
interface Entry {
  readonly t: number;
  readonly i: number;
  readonly r: number;
  readonly v?: string | number;
  readonly c?: readonly number[];
}

interface Group {
  readonly shown: Readonly<Record<string, string>>;
  readonly entries: readonly Entry[];
}

export interface CorrelationState {
  readonly groups: ReadonlyArray<readonly [string, Group]>;
}

export interface Correlated {
  /** Of the leaves that made it fire, rising. */
  readonly indexes: readonly number[];
  readonly group: Readonly<Record<string, string>>;
  readonly groupKey: string;
}

export interface Correlation {
  observe(fields: Fields, timeMs: number, index: number): Correlated | undefined;
  state(): CorrelationState;
  /** Groups that were forgotten although their time was not over. */
  evicted(): number;
}

interface Condition {
  readonly holds: (value: number) => boolean;
  /** So many entries decide it. */
  readonly keep: number;
}

/** What a correlation looks for, read from its document once. */
export interface CorrelationPlan {
  readonly tests: readonly Test[];
  readonly spanMs: number;
  readonly type: CorrelationRule['correlation']['type'];
  /** Field of each rule to group by, by the name it is shown under. */
  readonly groupBy: ReadonlyArray<{ readonly shown: string; readonly of: readonly string[] }>;
  /** Field of each rule that is counted or summed. */
  readonly field?: readonly string[];
  readonly condition: Condition;
}

export function spanMs(timespan: string): number {
  const unit = timespan.slice(-1) as keyof typeof SECONDS; // the form of the document says so
  return Number(timespan.slice(0, -1)) * SECONDS[unit] * 1000;
}

/** `alert_rule_invalid` for a condition that the type does not have, or that would hold before anything happened. */
export function conditionOf(name: string, { type, rules, condition }: CorrelationRule['correlation']): Condition {
  const { field, ...bounds } = condition ?? {};
  const valued = type === 'value_count' || type === 'value_sum';
  if (valued !== (field !== undefined)) throw invalid(name, valued ? `${type} needs a field` : `${type} takes no field`);
  const { gt, gte, lt, lte, eq } = bounds;
  const least = eq ?? gte ?? (gt === undefined ? undefined : gt + 1);
  if (type.startsWith('temporal') && least === undefined) {
    if (Object.keys(bounds).length > 0) throw invalid(name, 'the condition has no lower bound');
    return { holds: (value) => value >= rules.length, keep: rules.length };
  }
  if (least === undefined || least < 1)
    throw invalid(name, 'the condition has no lower bound above 0: it would hold before anything happened');
  if (type === 'temporal_ordered' && least !== rules.length) throw invalid(name, 'an order is of all its rules');
  const most = Math.min(
    eq ?? Number.POSITIVE_INFINITY,
    lte ?? Number.POSITIVE_INFINITY,
    lt === undefined ? Number.POSITIVE_INFINITY : lt - 1,
  );
  const keep = type === 'value_sum' ? SUM_PARTS + 1 : (Number.isFinite(most) ? most : least) + 1;
  if (keep > 10_000) throw invalid(name, 'a count above 10000 would keep too much in memory');
  return { holds: (value) => value >= least && value <= most, keep };
}

export function createCorrelation(plan: CorrelationPlan, restored?: CorrelationState): Correlation {
  const groups = new Map<string, Group>(restored?.groups ?? []);
  let entries = [...groups.values()].reduce((sum, group) => sum + group.entries.length, 0);
  let evicted = 0;

  function put(key: string, group: Group): void {
    entries += group.entries.length - (groups.get(key)?.entries.length ?? 0);
    groups.delete(key); // the newest stands last
    if (group.entries.length > 0) groups.set(key, group);
    while (groups.size > GROUPS || (entries > ENTRIES && groups.size > 1)) {
      const [oldest, dropped] = groups.entries().next().value ?? [key, group];
      groups.delete(oldest);
      entries -= dropped.entries.length;
      evicted++;
    }
  }

  return {
    observe(fields, timeMs, index) {
      let fired: Correlated | undefined;
      // From the last rule to the first, so that one leaf is not two steps of an order.
      for (let rule = plan.tests.length - 1; rule >= 0; rule--) {
        if (plan.tests[rule]?.(fields) !== true) continue;
        const found = entryOf(plan, fields, { t: timeMs, i: index, r: rule });
        if (found === undefined) continue;
        const { key, shown, entry } = found;
        const before = (groups.get(key)?.entries ?? []).filter(({ t }) => Math.abs(timeMs - t) <= plan.spanMs);
        const after = added(plan, before, entry);
        const indexes = decisive(plan, after);
        put(key, { shown, entries: indexes === undefined ? after : [] });
        if (indexes !== undefined) fired ??= { indexes, group: shown, groupKey: key };
      }
      return fired;
    },
    state: () => ({ groups: [...groups] }),
    evicted: () => evicted,
  };
}

/** The group of a leaf, and what the window keeps of it; nothing when the leaf does not say what it is grouped by or what is counted. */
function entryOf(plan: CorrelationPlan, fields: Fields, entry: Entry) {
  const shown: Record<string, string> = {};
  for (const { shown: name, of } of plan.groupBy) {
    const values = fields.get(of[entry.r] ?? '');
    if (values === undefined || values.length === 0) return undefined;
    shown[name] = values.join(',').slice(0, 128);
  }
  const key = sha256Hex(Buffer.from(JSON.stringify(plan.groupBy.map(({ of }) => fields.get(of[entry.r] ?? '')))));
  if (plan.field === undefined) return { key, shown, entry };
  const [value] = fields.get(plan.field[entry.r] ?? '') ?? [];
  if (value === undefined || (plan.type === 'value_sum' && typeof value !== 'number')) return undefined;
  const v = typeof value === 'number' ? value : sha256Hex(Buffer.from(String(value))).slice(0, 32);
  return { key, shown, entry: { ...entry, v } };
}

function added(plan: CorrelationPlan, before: readonly Entry[], entry: Entry): readonly Entry[] {
  switch (plan.type) {
    case 'event_count':
      return [...before, entry].slice(-plan.condition.keep);
    case 'value_count':
      return [...before.filter(({ v }) => v !== entry.v), entry].slice(-plan.condition.keep);
    case 'value_sum':
      return summed(before, entry, plan.spanMs / SUM_PARTS);
    case 'temporal':
      return [...before.filter(({ r }) => r !== entry.r), entry];
    case 'temporal_ordered': {
      const step = before.find(({ r }) => r === entry.r - 1);
      if (entry.r > 0 && step === undefined) return before;
      // A chain is as old as its first leaf, and the youngest one is the one that lasts.
      const chain = { t: step?.t ?? entry.t, i: entry.i, r: entry.r, c: [...(step?.c ?? []), entry.i] };
      return [...before.filter(({ r }) => r !== entry.r), chain];
    }
  }
}

function summed(before: readonly Entry[], entry: Entry, partMs: number): readonly Entry[] {
  const last = before.at(-1);
  const samePart = last !== undefined && Math.floor(last.t / partMs) === Math.floor(entry.t / partMs);
  if (!samePart) return [...before, entry].slice(-(SUM_PARTS + 1));
  return [...before.slice(0, -1), { ...entry, v: Number(last.v) + Number(entry.v) }];
}

/** Indexes of the leaves that make the condition hold, or nothing. */
function decisive({ type, condition, tests }: CorrelationPlan, entries: readonly Entry[]): readonly number[] | undefined {
  if (type === 'temporal_ordered') return entries.find(({ r }) => r === tests.length - 1)?.c;
  const value = type === 'value_sum' ? entries.reduce((sum, { v }) => sum + Number(v), 0) : entries.length;
  return condition.holds(value) ? entries.map(({ i }) => i).toSorted((a, b) => a - b) : undefined;
}

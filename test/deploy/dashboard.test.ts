/** deploy/grafana/weight-vault.json cannot rot: it asks for figures that exist, by labels that they have, and no label is a name. */

import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { createMetrics } from '../../src/telemetry/metrics.ts';

interface Dashboard {
  readonly panels: ReadonlyArray<{
    readonly id: number;
    readonly title: string;
    readonly targets: ReadonlyArray<{ readonly expr: string }>;
  }>;
}
const dashboard = JSON.parse(readFileSync(new URL('../../deploy/grafana/weight-vault.json', import.meta.url), 'utf8')) as Dashboard;
const queries = dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }) => [title, expr] as const));

/** Every figure, with something in each that has labels. */
async function figures(): Promise<string> {
  const metrics = createMetrics();
  metrics.watchProcess();
  metrics.answered({ plane: 'data', operation: 'createRelease', status: 403, code: 'policy_denied', seconds: 1 });
  metrics.recorded({ type: 'release.denied', outcome: 'deny', reason: 'policy_denied', class: 'restricted' });
  metrics.recorded({ type: 'release.end', outcome: 'completed', reason: undefined, class: undefined });
  metrics.keyCalled('unwrap', 1, 'hsm_unavailable');
  metrics.sinkFailed('syslog', 'sink_untrusted');
  metrics.watch({
    ready: async () => true,
    revocationsStale: () => false,
    logHalted: () => false,
    logRoom: () => 1,
    readers: async () => ({ search: 3, sinks: 2, behind: 40, lagSeconds: 61, refusing: 0 }),
    witnessLag: () => 0,
    log: async () => ({ size: 7, waiting: 0 }),
    keys: async () => ({ daysLeft: 1, suspended: 0, rewrapLeft: 0 }),
    sessions: async () => undefined,
  });
  return metrics.text();
}

/** Of a series: its labels. */
async function series(): Promise<Map<string, Set<string>>> {
  const found = new Map<string, Set<string>>();
  for (const [, name = '', labels = ''] of (await figures()).matchAll(/^([a-z_]\w*)(?:\{(.*)\})? /gim)) {
    const known = found.get(name) ?? new Set<string>();
    for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) known.add(label);
    found.set(name, known);
  }
  return found;
}

const WORDS = /\b(?:sum|min|max|rate|by|histogram_quantile)\b/;
const namesIn = (expr: string) =>
  [
    ...expr
      .replace(/"[^"]*"/g, '')
      .replace(/by \([^)]*\)/g, '')
      .matchAll(/[a-z_]\w{3,}/g),
  ]
    .map(([name]) => name)
    .filter((name) => !WORDS.test(name));
const labelsIn = (expr: string) => [
  ...[...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, labels = '']) => labels.split(',').map((label) => label.trim())),
  ...[...expr.matchAll(/\{([^}]*)\}/g)].flatMap(([, selectors = '']) => [...selectors.matchAll(/(\w+)=/g)].map(([, label = '']) => label)),
];

describe('the dashboard', () => {
  test('has queries, each panel an id of its own', () => {
    expect(queries.length).toBeGreaterThan(15);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
  });

  test.each(queries)('%s asks for what there is', async (_, expr) => {
    const known = await series();
    const names = namesIn(expr).filter((name) => name !== 'type');
    expect(names.filter((name) => !known.has(name))).toEqual([]);
    expect(names.length).toBeGreaterThan(0);
    expect(labelsIn(expr).filter((label) => !names.some((name) => known.get(name)?.has(label)))).toEqual([]);
  });

  test('a query for what there is not is found', async () => {
    const known = await series();
    expect(namesIn('sum by (class) (rate(weight_vault_gone_total{type="a"}[5m]))').filter((name) => !known.has(name))).toContain(
      'weight_vault_gone_total',
    );
  });
});

test('no figure of ours has a label that could be a name', async () => {
  const labels = [...(await series())].flatMap(([name, set]) => (name.startsWith('weight_vault_') ? [...set] : []));
  const closed = ['plane', 'operation', 'status', 'code', 'type', 'outcome', 'reason', 'class', 'verb', 'kind', 'le'];
  expect([...new Set(labels)].filter((label) => !closed.includes(label))).toEqual([]);
});

/** `wv alerts ls|show|set|deliver`: what was raised, and asking for other rules or receivers. */
import { z } from 'zod';
import { alertDelivery } from '../documents/alert-delivery.ts';
import { readRuleFiles, SHIPPED_RULES } from './alert-rules.ts';
import type { CodeOptions } from './code.ts';
import { readUserJson } from './files.ts';
import { type Kit, withKit } from './kit.ts';
import { aligned, print } from './output.ts';
import { callSteppedUp } from './step-up.ts';

interface KitOptions extends CodeOptions {
  readonly kit: string;
  readonly json?: boolean;
}

const alert = z.object({
  recordId: z.string(),
  raisedAt: z.string(),
  rule: z.string(),
  level: z.string(),
  title: z.string(),
  matches: z.int(),
  first: z.int(),
  last: z.int(),
  group: z.record(z.string(), z.string()),
  sending: z.string(),
  acted: z.string().optional(),
});

export function list(options: KitOptions & { readonly limit: number }): Promise<void> {
  return withKit(options.kit, async (kit) => {
    const answer = await kit.call('GET', `/v1/alerts?limit=${options.limit}`);
    const rows = z
      .object({ alerts: z.array(alert) })
      .parse(answer)
      .alerts.map(({ raisedAt, rule, level, title, recordId, acted }) => [
        raisedAt,
        rule,
        level,
        recordId,
        acted === undefined ? title : `${title}: ${acted}`,
      ]);
    print(options, answer, rows.length === 0 ? ['Nothing was raised.'] : aligned(['RAISED', 'ALERT', 'LEVEL', 'RECORD', 'WHAT'], rows));
  });
}

export function show(record: string, options: KitOptions): Promise<void> {
  return withKit(options.kit, async (kit) => {
    const answer = await kit.call('GET', `/v1/alerts/${encodeURIComponent(record)}`);
    const { rule, level, title, raisedAt, matches, first, last, group, sending, acted } = alert.parse(answer);
    const rows = [
      ...Object.entries(group),
      ['records', `${matches}, from ${first} to ${last}`],
      ['raised', raisedAt],
      ['sent', sending],
      ...(acted === undefined ? [] : [['done', acted]]),
    ].map(([name = '', value = '']) => [name, value]);
    print(options, answer, [`${rule} ${level}: ${title}`, ...aligned(['ABOUT', ''], rows)]);
  });
}

export function setRules(folder: string | undefined, options: KitOptions): Promise<void> {
  return withKit(options.kit, async (kit) => propose(kit, 'alert-rules', { rules: await readRuleFiles(folder ?? SHIPPED_RULES) }, options));
}

export function setDelivery(file: string, options: KitOptions): Promise<void> {
  return withKit(options.kit, async (kit) => propose(kit, 'alert-delivery', await readUserJson(file, alertDelivery), options));
}

async function propose(kit: Kit, slot: 'alert-rules' | 'alert-delivery', body: object, options: KitOptions): Promise<void> {
  const current = await kit.call('GET', `/v1/namespaces/system/documents/${slot}`);
  const counter = z.int().min(0).parse(current['counter']) + 1;
  const answer = await callSteppedUp(kit, 'PUT', `/v1/${slot}`, { counter, ...body }, { ...options, namespace: 'system' });
  print(options, answer, [
    `${slot} ${counter} waits for another administrator: wv approve --namespace system ${String(answer['requestId'])} ${String(answer['operationDigest'])}`,
  ]);
}

/**
 * Form of the Sigma documents this vault runs: rules and correlations of specification 2.1 (sigma-specification), with our own member
 * `weightvault`. What the engine would not do exactly as the specification says is refused here, never skipped.
 */
import { z } from 'zod';
import { ALERT_LEVELS } from '../record.ts';
import { invalid } from './sigma-yaml.ts';

/** What the vault may do by itself when the rule fires: stop its requester, stop its model, stop its namespace. */
export const ACTIONS = ['block', 'suspend', 'lockdown'] as const;
export type AlertAction = (typeof ACTIONS)[number];

const scalar = z.union([z.string().max(1024), z.number(), z.boolean(), z.null()]);
const matchers = z.record(z.string().max(256), z.union([scalar, z.array(scalar).min(1).max(256)]));
const selection = z.union([matchers, z.array(matchers).min(1).max(64)]);
const id = z.uuid();
const date = z.string().regex(/^\d{4}-\d{2}-\d{2}$/);

const ours = z.strictObject({
  alert: z.string().regex(/^[A-Z][A-Z0-9-]{1,15}$/),
  action: z.enum(ACTIONS).optional(),
  /** The action is taken without asking anybody; lifting it takes two people. */
  automatic: z.boolean().optional(),
});

const meta = {
  title: z.string().min(1).max(256),
  id: id.optional(),
  name: z
    .string()
    .regex(/^[a-z0-9_]{2,64}$/)
    .optional(),
  status: z.enum(['stable', 'test', 'experimental', 'deprecated', 'unsupported']).optional(),
  description: z.string().max(4096).optional(),
  license: z.string().max(64).optional(),
  author: z.string().max(256).optional(),
  references: z.array(z.string().max(512)).max(16).optional(),
  date: date.optional(),
  modified: date.optional(),
  tags: z.array(z.string().max(128)).max(32).optional(),
  falsepositives: z.array(z.string().min(2).max(512)).max(16).optional(),
  level: z.enum(ALERT_LEVELS).optional(),
  weightvault: ours.optional(),
};

const detectionRule = z.strictObject({
  ...meta,
  logsource: z.strictObject({
    product: z.literal('weight-vault'),
    service: z.literal('access-log').optional(),
    definition: z.string().max(1024).optional(),
  }),
  detection: z.record(z.string().regex(/^[a-z][a-z0-9_]{0,63}$/), z.union([selection, z.string().max(1024)])),
  fields: z.array(z.string()).max(64).optional(),
});

const bound = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const correlationRule = z.strictObject({
  ...meta,
  correlation: z.strictObject({
    type: z.enum(['event_count', 'value_count', 'value_sum', 'temporal', 'temporal_ordered']),
    rules: z.array(z.string()).min(1).max(16),
    aliases: z.record(z.string().max(64), z.record(z.string().max(64), z.string().max(256))).optional(),
    'group-by': z.array(z.string().max(256)).max(8).optional(),
    timespan: z.string().regex(/^[1-9]\d{0,4}[smhd]$/),
    condition: z
      .strictObject({
        field: z.string().max(256).optional(),
        gt: bound.optional(),
        gte: bound.optional(),
        lt: bound.optional(),
        lte: bound.optional(),
        eq: bound.optional(),
      })
      .optional(),
    generate: z.boolean().optional(),
  }),
});

export type DetectionRule = z.output<typeof detectionRule>;
export type CorrelationRule = z.output<typeof correlationRule>;
export type Matchers = z.output<typeof matchers>;
export type Scalar = z.output<typeof scalar>;

/** `alert_rule_invalid` with the member that is not as it must be. */
export function parseDocument(name: string, value: unknown): DetectionRule | CorrelationRule {
  const form = typeof value === 'object' && value !== null && 'correlation' in value ? correlationRule : detectionRule;
  const parsed = form.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw invalid(name, `${issue?.path.join('.') || 'document'}: ${issue?.message ?? 'not allowed'}`);
}

export function isCorrelation(document: DetectionRule | CorrelationRule): document is CorrelationRule {
  return 'correlation' in document;
}

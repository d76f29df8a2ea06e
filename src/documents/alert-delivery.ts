/** Where alerts are sent, as two people signed it. Secrets are not in it: each target has its own in a file beside the vault. */
import { z } from 'zod';
import { name, plain } from './forms.ts';

const LEVELS = ['informational', 'low', 'medium', 'high', 'critical'] as const;

const receiver = {
  name,
  /** Alerts below this level are not sent there. */
  minimum: z.enum(LEVELS),
  host: z.string().regex(/^[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$/),
  port: z.int().min(1).max(65_535),
  /** PEM of the authorities that may vouch for the host; absent: those that Node ships. */
  ca: z.string().max(32_768).optional(),
};
const address = plain(254).regex(/^[^\s<>"@]+@[^\s<>"@]+$/);

export const alertTarget = z.discriminatedUnion('kind', [
  z.strictObject({ ...receiver, kind: z.literal('webhook'), path: z.string().regex(/^\/[\x21-\x7e]{0,1023}$/) }),
  z.strictObject({ ...receiver, kind: z.literal('syslog') }),
  z.strictObject({
    ...receiver,
    kind: z.literal('email'),
    tls: z.enum(['implicit', 'starttls']),
    user: plain(254).optional(),
    from: address,
    to: z.array(address).min(1).max(16),
  }),
]);

export const alertDelivery = z.strictObject({
  targets: z
    .array(alertTarget)
    .max(16)
    .refine((targets) => new Set(targets.map((target) => target.name)).size === targets.length, 'two targets share a name'),
  /** A sign of life to every webhook: whoever misses two of them knows that nobody would tell. */
  heartbeatSeconds: z.int().min(10).max(3_600),
});

export type AlertTarget = Readonly<z.output<typeof alertTarget>>;
export type AlertDelivery = Readonly<z.output<typeof alertDelivery>>;

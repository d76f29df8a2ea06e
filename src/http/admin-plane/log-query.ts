/** The query of a search of the access log. */
import { z } from 'zod';
import { SEARCH_FIELDS } from '../../audit/search/entry.ts';
import type { LogQuery } from '../../vault/search-log.ts';
import { time } from '../forms.ts';

const PAGE = 100;
const whole = z
  .string()
  .regex(/^(?:0|[1-9][0-9]{0,14})$/)
  .transform(Number);
const says = z.string().min(1).max(128);
const fields = Object.fromEntries(SEARCH_FIELDS.map((field) => [field, says.optional()])) as Record<
  (typeof SEARCH_FIELDS)[number],
  z.ZodOptional<typeof says>
>; // one for each field

export const logQuery = z.strictObject({
  ...fields,
  from: time.optional(),
  to: time.optional(),
  minBytes: whole.optional(),
  order: z.enum(['newest', 'oldest']).default('newest'),
  at: whole.optional(),
  limit: z
    .string()
    .regex(/^(?:[1-9][0-9]?|100)$/)
    .default(String(PAGE))
    .transform(Number),
  /** Seconds to wait when nothing is found yet, at most 20: to follow the log, `oldest` first. */
  wait: z
    .string()
    .regex(/^(?:[0-9]|1[0-9]|20)$/)
    .default('0')
    .transform(Number),
});

/** Without a namespace in it: that stands in the path. */
export const namespaceLogQuery = logQuery.omit({ namespace: true });

export function logQueryOf({ from, to, minBytes, order, at, limit, wait, ...said }: z.output<typeof logQuery>): LogQuery {
  const dates = { from: from === undefined ? undefined : new Date(from), to: to === undefined ? undefined : new Date(to) };
  return {
    says: Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)),
    ...dates,
    minBytes,
    order,
    at,
    limit,
    waitSeconds: wait,
  };
}

const FIRST = '2000-01-01T00:00:00.000Z';

export const totalsQuery = z.strictObject({ from: time.default(FIRST), to: time.optional() });

export function rangeOf({ from, to }: z.output<typeof totalsQuery>, now: Date): { readonly from: Date; readonly to: Date } {
  return { from: new Date(from), to: to === undefined ? now : new Date(to) };
}

/** How `wv keys` shows rings, versions and a rewrap to a person. */
import { z } from 'zod';
import type { AdminOptions } from './kit.ts';
import { aligned, print } from './output.ts';

const ring = z.looseObject({
  namespace: z.string(),
  cryptoperiodDays: z.number(),
  destructionWaitDays: z.number(),
  keks: z.array(
    z.looseObject({
      id: z.string(),
      version: z.number(),
      state: z.string(),
      ringState: z.string(),
      wrapped: z.number(),
      wrap: z.looseObject({ tier: z.number(), algorithm: z.string(), provider: z.string(), arn: z.string().optional() }).optional(),
      activatedAt: z.string().optional(),
      rotateBefore: z.string().optional(),
      destroyAfter: z.string().optional(),
    }),
  ),
});
type Ring = z.output<typeof ring>;

export const rewrapAnswer = z.looseObject({
  total: z.number(),
  done: z.number(),
  rewrapped: z.number(),
  failed: z.number(),
  waiting: z.number(),
  keysPerSecond: z.number(),
  finishedAt: z.string().optional(),
});

const ringAnswer = ring.extend({ unreadable: z.number() });
const ringsAnswer = z.object({ rings: z.array(ring), unreadable: z.number(), rewrap: rewrapAnswer.optional() });

const SOON_DAYS = 30;
const DAY_MS = 86_400_000;

export function showRing(answer: unknown, options: AdminOptions): void {
  const read = ringAnswer.parse(answer);
  const none = read.keks.length === 0 ? [`${read.namespace} has no KEK of its own: the vault's wraps for it.`] : [];
  print(options, answer as object, [...none, ...versionLines([read]), ...warnings([read], read.unreadable)]);
}

export function listRings(answer: unknown, options: AdminOptions): void {
  const { rings, unreadable, rewrap } = ringsAnswer.parse(answer);
  print(options, answer as object, [
    ...versionLines(rings),
    ...warnings(rings, unreadable),
    ...(rewrap === undefined ? [] : rewrapLines(rewrap)),
  ]);
}

function versionLines(rings: readonly Ring[]): string[] {
  const rows = rings.flatMap(({ namespace, keks }) =>
    keks.map(({ id, version, state, ringState, wrapped, wrap, rotateBefore, destroyAfter }) => {
      const shown = state === ringState ? state : `${state} (${ringState})`;
      const date = destroyAfter !== undefined && state !== 'destroyed' ? `destroy after ${destroyAfter}` : (rotateBefore ?? '');
      const how = wrap === undefined ? unrecorded(ringState) : `${wrap.algorithm}, tier ${wrap.tier}, ${wrap.arn ?? wrap.provider}`;
      return [namespace, id, String(version), shown, String(wrapped), date, how];
    }),
  );
  return rows.length === 0 ? [] : aligned(['OF', 'KEK', 'VERSION', 'STATE', 'WRAPPED', 'DUE', 'WRAPS WITH'], rows);
}

/** Of a version that an earlier product made. */
const unrecorded = (ringState: string) => (ringState === 'pre-activation' || ringState === 'destroyed' ? '' : 'not recorded');

function warnings(rings: readonly Ring[], unreadable: number): string[] {
  const due = rings.flatMap(({ namespace, keks }) =>
    keks.flatMap(({ version, rotateBefore }) => {
      if (rotateBefore === undefined) return [];
      const left = Math.floor((Date.parse(rotateBefore) - Date.now()) / DAY_MS);
      if (left >= SOON_DAYS) return [];
      const when = left < 0 ? `was due ${-left} days ago` : `is due in ${left} days`;
      return [`Version ${version} of ${namespace} ${when}: wv keys rotate --namespace ${namespace}`];
    }),
  );
  const inactive = rings
    .filter(({ keks }) => keks.length > 0 && !keks.some(({ ringState }) => ringState === 'active'))
    .map(({ namespace }) => `${namespace} has no active version: wv keys rotate --namespace ${namespace}`);
  return [...due, ...inactive, ...(unreadable === 0 ? [] : [`${unreadable} wrapped keys cannot be read: their rows were altered.`])];
}

export function rewrapLines({
  total,
  done,
  rewrapped,
  failed,
  waiting,
  keysPerSecond,
  finishedAt,
}: z.output<typeof rewrapAnswer>): string[] {
  if (finishedAt !== undefined) return [`Rewrap: finished ${finishedAt}; of ${total} keys ${rewrapped} had to be wrapped anew.`];
  const left = [failed === 0 ? '' : `${failed} could not be`, waiting === 0 ? '' : `${waiting} wait for a suspended key`].filter(Boolean);
  return [`Rewrap: ${done} of ${total}, at most ${keysPerSecond} a second${left.length === 0 ? '' : `; ${left.join(', ')}`}.`];
}

/** EAT Attestation Results (draft-ietf-rats-ear): one status per part, and the worst of them counts. */
import type { JsonObject } from '../strict-json.ts';

/** AR4SI tiers as EAR writes them in text, and in numbers in its first drafts. */
const TIERS = new Map<unknown, string>([
  [0, 'none'],
  [2, 'affirming'],
  [32, 'warning'],
  [96, 'contraindicated'],
  ...['none', 'affirming', 'warning', 'contraindicated'].map((tier) => [tier, tier] as const),
]);

/** By part; a status nobody knows is "unknown", and a part without one is "missing". */
export function earStatuses({ submods }: JsonObject): Readonly<Record<string, string>> {
  if (typeof submods !== 'object' || submods === null || Array.isArray(submods)) return {};
  return Object.fromEntries(
    Object.entries(submods).map(([name, part]) => {
      const status = typeof part === 'object' && part !== null && Object.hasOwn(part, 'ear.status') ? part['ear.status'] : undefined;
      return [name, status === undefined ? 'missing' : (TIERS.get(status) ?? 'unknown')];
    }),
  );
}

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isRefusal } from '../../src/domain/evidence.ts';
import { decideRelease } from '../../src/policy/decide.ts';
import { attested, FAILS, loaded, manifest, question, RELEASE } from './support.ts';

const condition = fc.constantFrom(
  'principal.tags.contains("fleet=production")',
  'principal.tags.contains("owner=us")',
  'resource.class == "public"',
  'resource.class == "restricted"',
  'context.evidence.hardware',
  '!context.evidence.tee',
  'context.now < datetime("2020-01-01")',
  FAILS,
);
const permit = condition.map((when) => `permit (${RELEASE}) when { ${when} };`);
const forbid = condition.map((when) => `forbid (${RELEASE}) when { ${when} };`);
const policy = fc.oneof({ weight: 3, arbitrary: permit }, { weight: 1, arbitrary: forbid });
const request = fc.record({
  fleet: fc.constantFrom('production', 'staging'),
  owner: fc.constantFrom('us', 'them'),
  class: fc.constantFrom('public' as const, 'restricted' as const, 'critical' as const),
  hardware: fc.boolean(),
});
type Request = typeof request extends fc.Arbitrary<infer T> ? T : never;

function permitted(policies: readonly string[], { fleet, owner, class: name, hardware }: Request): boolean {
  const policySet = loaded(Object.fromEntries(policies.map((text, at) => [`p${at}`, text])));
  const who = attested({ attributes: { fleet, owner } }, { hardware });
  return !isRefusal(decideRelease(question({ policySet, attested: who, manifest: manifest({ class: name }) })));
}

const policies = fc.array(policy, { maxLength: 4 });

describe('whatever the policies', () => {
  test('adding a forbid never turns a denial into a permit', () => {
    fc.assert(
      fc.property(policies, forbid, request, (set, extra, asked) => !permitted([...set, extra], asked) || permitted(set, asked)),
      { numRuns: 150 },
    );
  });

  test('a forbid that applies beats every permit', () => {
    fc.assert(
      fc.property(policies, request, (set, asked) => !permitted([...set, `forbid (${RELEASE});`], asked)),
      { numRuns: 100 },
    );
  });

  test('a policy that cannot be evaluated denies beside any others', () => {
    fc.assert(
      fc.property(policies, request, (set, asked) => !permitted([...set, `forbid (${RELEASE}) when { ${FAILS} };`], asked)),
      { numRuns: 100 },
    );
  });

  test('what is permitted was permitted by some policy, and the generator reaches both outcomes', () => {
    const seen = new Set<boolean>();
    fc.assert(
      fc.property(policies, request, (set, asked) => {
        const answer = permitted(set, asked);
        seen.add(answer);
        return !answer || set.some((text) => text.startsWith('permit'));
      }),
      { numRuns: 150 },
    );
    expect([...seen].sort()).toEqual([false, true]);
  });
});

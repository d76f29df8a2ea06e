import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isRefusal } from '../../src/domain/evidence.ts';
import { type Assumption, assumptionsFor } from '../../src/policy/assume.ts';
import { checkPolicies } from '../../src/policy/check.ts';
import { decideRelease } from '../../src/policy/decide.ts';
import { releaseReach } from '../../src/policy/who-can.ts';
import { attested, FAILS, loaded, manifest, NOW, PROD, question, RELEASE } from './support.ts';

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

const letters = fc.string({ unit: fc.constantFrom('a', '*', '"', '\\', '=', '?', '{', 'ü', ' '), minLength: 1, maxLength: 12 });

describe('attributes of a requester', () => {
  test('are text and never patterns: a condition on one whole tag holds for exactly that tag', () => {
    const seen = new Set<boolean>();
    const literal = (text: string) => `"fleet=${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
    fc.assert(
      fc.property(letters, fc.oneof(letters, fc.constant('')), (asked, other) => {
        const fleet = other === '' ? asked : other;
        const policySet = loaded({ only: `permit (${RELEASE}) when { principal.tags.contains(${literal(asked)}) };` });
        const permit = !isRefusal(decideRelease(question({ policySet, attested: attested({ attributes: { fleet } }) })));
        seen.add(permit);
        return permit === (fleet === asked);
      }),
      { numRuns: 100 },
    );
    expect([...seen].sort()).toEqual([false, true]);
  });
});

const evidenceCondition = fc.constantFrom(
  'context.evidence.hardware',
  'context.evidence.tee',
  '!context.evidence.tee',
  'context.evidence.matched.contains("golden-1")',
  'context.evidence.matched.containsAny(["golden-1", "golden-2"])',
  'context.evidence.facts.contains("firmwareVersion=0002")',
  'principal.tags.contains("fleet=production")',
  'resource.class == "restricted"',
  FAILS,
);
const evidencePolicy = fc
  .record({
    effect: fc.constantFrom('permit', 'permit', 'permit', 'forbid'),
    all: fc.array(evidenceCondition, { minLength: 1, maxLength: 3 }),
  })
  .map(({ effect, all }) => `${effect} (${RELEASE}) when { ${all.join(' && ')} };`);
const evidencePolicies = fc
  .array(evidencePolicy, { minLength: 1, maxLength: 3 })
  .map((texts) => Object.fromEntries(texts.map((text, at) => [`p${at}`, text])));

describe('who-can', () => {
  test('agrees with the real decision, whatever the policies and whatever the machine shows', () => {
    const seen = new Set<string>();
    const asking = fc.record({
      fleet: fc.constantFrom('production', 'staging'),
      class: fc.constantFrom('public' as const, 'restricted' as const),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(evidencePolicies, asking, (policies, { fleet, class: name, pick }) => {
        const assumptions = assumptionsFor([policies], ['tpm2']);
        const requester = { namespace: PROD, name: 'node-1', attributes: { fleet } };
        const version = { namespace: PROD, class: name, attributes: {} };
        const reach = releaseReach({ requester, version, policies, assumptions, now: NOW });
        const real = ({ evidence }: Assumption) => {
          const { fresh, keyBound, hardware, tee, matched, facts } = evidence;
          const who = attested({ attributes: { fleet } }, { fresh, keyBound, hardware, tee, matched, facts });
          const policySet = loaded(policies);
          return !isRefusal(decideRelease(question({ policySet, attested: who, manifest: manifest({ class: name }) })));
        };
        seen.add(reach.spoiledBy.length > 0 ? 'spoiled' : reach.answer);
        const some = assumptions[pick % assumptions.length];
        if (some === undefined) return false;
        const enough = reach.enough.some((claims) => claims.every((claim) => some.claims.has(claim)));
        const spoiled = reach.spoiledBy.some((claims) => claims.every((claim) => some.claims.has(claim)));
        if (real(some)) return enough; // what is permitted was foreseen
        return !enough || spoiled; // and what was foreseen is permitted, unless something spoils it
      }),
      { numRuns: 80 },
    );
    expect([...seen]).toEqual(expect.arrayContaining(['if', 'never'])); // always and spoiled come too, but not in every draw
  });

  test('the least evidence that is said to be enough is enough, and nothing less is', () => {
    fc.assert(
      fc.property(evidencePolicies, (policies) => {
        const assumptions = assumptionsFor([policies], ['tpm2']);
        const asked = { requester: { namespace: PROD, name: 'n', attributes: {} }, policies, assumptions, now: NOW };
        const { enough } = releaseReach({ ...asked, version: { namespace: PROD, class: 'public', attributes: {} } });
        const permitted = ({ evidence }: Assumption) =>
          !isRefusal(decideRelease(question({ policySet: loaded(policies), attested: attested({ name: 'n', attributes: {} }, evidence) })));
        return enough.every((claims) => {
          const exact = assumptions.filter((one) => one.claims.size === claims.length && claims.every((claim) => one.claims.has(claim)));
          const less = assumptions.filter(
            (one) => one.claims.size < claims.length && [...one.claims].every((claim) => claims.includes(claim)),
          );
          return exact.length > 0 && exact.every(permitted) && !less.some(permitted);
        });
      }),
      { numRuns: 25 },
    );
  });
});

describe('a policy that `wv policy check` says can never apply', () => {
  const atom = fc.constantFrom(
    'resource.class == "public"',
    'resource.class != "public"',
    '["restricted"].contains(resource.class)',
    'context.evidence.tee',
    '!context.evidence.tee',
    'principal.tags.contains("fleet=production")',
    'principal.tags.containsAny(["fleet=production", "owner=us"])',
    'context.evidence.tier == "affirming"',
  );
  const tree = fc.oneof(
    atom,
    fc.tuple(atom, fc.constantFrom('&&', '||'), atom).map(([a, op, b]) => `(${a} ${op} ${b})`),
  );

  test('never does', () => {
    let hopeless = 0;
    fc.assert(
      fc.property(fc.array(tree, { minLength: 1, maxLength: 3 }), tree, (whens, unless) => {
        const text = `permit (${RELEASE}) when { ${whens.join(' && ')} } unless { ${unless} };`;
        const { problems } = checkPolicies([{ name: 'a', text: `@id("p") ${text}` }], { evidenceKinds: ['tpm2'] });
        if (!problems.some(({ message }) => message.includes('can never apply'))) return true;
        hopeless += 1;
        const policySet = loaded({ p: text });
        return [...(['public', 'restricted'] as const)].every((name) =>
          [true, false].every((tee) =>
            ['production', 'staging'].every((fleet) =>
              isRefusal(
                decideRelease(
                  question({ policySet, attested: attested({ attributes: { fleet } }, { tee }), manifest: manifest({ class: name }) }),
                ),
              ),
            ),
          ),
        );
      }),
      { numRuns: 100 },
    );
    expect(hopeless).toBeGreaterThan(5);
  });
});

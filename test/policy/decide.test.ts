import { describe, expect, test } from '@jest/globals';
import { CLASS_NAMES, type ClassName } from '../../src/domain/classes.ts';
import { assertEarned } from '../../src/domain/earned.ts';
import type { AttestationResult } from '../../src/domain/evidence.ts';
import { decideRelease } from '../../src/policy/decide.ts';
import { PREPARED_SETS } from '../../src/policy/evaluate.ts';
import { ask, askWith, attested, digest, FAILS, loaded, manifest, NOW, question, RELEASE, unearned } from './support.ts';

const OPEN = { open: `permit (${RELEASE});` };
const when = (condition: string) => ({ only: `permit (${RELEASE}) when { ${condition} };` });

describe('a release', () => {
  test('is refused without a policy set', () => {
    expect(ask({ policySet: undefined })).toBe('policy_missing');
  });

  test('is refused with zero policies', () => {
    expect(askWith({})).toBe('policy_missing');
  });

  test('is refused when no policy permits it', () => {
    expect(askWith(when('resource.class == "internal"'))).toBe('policy_denied');
  });

  test('is refused to a requester no policy knows', () => {
    const named = {
      only: `permit (principal == WeightVault::Requester::"prod/node-1", action == WeightVault::Action::"release", resource);`,
    };
    expect(askWith(named)).toBe('permit: only');
    expect(askWith(named, { attested: attested({ name: 'node-2' }) })).toBe('policy_denied');
  });

  test('is a Permit that names the policies that determined it and the set they are from', () => {
    const policySet = loaded({ ...OPEN, 'a-second': `permit (${RELEASE});`, other: `permit (${RELEASE}) when { context.evidence.tee };` });
    const permit = decideRelease(question({ policySet }));
    expect(permit).toMatchObject({ determining: ['a-second', 'open'], policySetDigest: digest('5'), versionDigest: digest('6') });
    assertEarned('Permit', permit);
    expect(Object.isFrozen(permit)).toBe(true);
  });

  test('is refused when a forbid applies, which the refusal names', () => {
    const policySet = loaded({ ...OPEN, 'not-today': `forbid (${RELEASE});` });
    expect(decideRelease(question({ policySet }))).toMatchObject({
      refused: true,
      code: 'policy_denied',
      detail: 'forbidden by not-today',
    });
  });

  test('is refused when a forbid cannot be evaluated, though Cedar itself answers allow', () => {
    const policySet = loaded({ ...OPEN, broken: `forbid (${RELEASE}) when { ${FAILS} };` });
    expect(decideRelease(question({ policySet }))).toMatchObject({
      refused: true,
      code: 'policy_error',
      detail: 'could not be evaluated: broken',
    });
  });

  test('is refused when a permit cannot be evaluated, though another one permits', () => {
    expect(askWith({ ...OPEN, broken: `permit (${RELEASE}) when { ${FAILS} };` })).toBe('policy_error');
  });

  test('refusals say who asked', () => {
    const refusal = decideRelease(question({ policySet: undefined }));
    expect(refusal).toMatchObject({ subject: { name: 'node-1' }, evidenceDigest: digest('3') });
  });

  test('throws on an attestation result that no appraisal earned', () => {
    expect(() => ask({ attested: unearned() as unknown as AttestationResult })).toThrow('not a AttestationResult');
    expect(() => ask({ attested: { ...attested() } })).toThrow('not a AttestationResult');
  });

  test('throws on a policy set that was not loaded', () => {
    expect(() => ask({ policySet: { ...loaded(OPEN) } })).toThrow('not loaded');
  });

  test('throws on the policy set of another namespace', () => {
    expect(() => ask({ policySet: loaded(OPEN, 'research') })).toThrow('another namespace');
  });

  test('is refused to a requester of another namespace, whatever the policies say', () => {
    expect(ask({ attested: attested({ namespace: 'research' }) })).toBe('policy_denied');
  });
});

describe('attributes decide', () => {
  test.each([
    ['a tag of the requester', 'principal.tags.contains("fleet=production")', { attested: attested({ attributes: { fleet: 'staging' } }) }],
    ['the name of the requester', 'principal.name == "node-1"', { attested: attested({ name: 'node-2' }) }],
    ['the class', 'resource.class == "public"', { manifest: manifest({ class: 'internal' }) }],
    ['the version', `resource.versionDigest == "${digest('6')}"`, { versionDigest: digest('7') }],
    ['the matched reference value', 'context.evidence.matched.contains("golden-2026")', { attested: attested({}, { matched: ['other'] }) }],
    [
      'a fact',
      'context.evidence.facts.contains("firmwareVersion=0001")',
      { attested: attested({}, { facts: { firmwareVersion: '0002' } }) },
    ],
    ['hardware', 'context.evidence.hardware', { attested: attested({}, { hardware: false }) }],
    ['the time', 'context.now < datetime("2026-03-01T12:00:01Z")', { now: new Date(NOW.getTime() + 1000) }],
  ])('%s flips the outcome', (_name, condition, change) => {
    expect(askWith(when(condition))).toBe('permit: only');
    expect(askWith(when(condition), change)).toBe('policy_denied');
  });

  test('a tag of the version flips the outcome', () => {
    const tagged = manifest({ attributes: { evaluated: 'yes' } });
    expect(askWith(when('resource.tags.contains("evaluated=yes")'), { manifest: tagged })).toBe('permit: only');
    expect(askWith(when('resource.tags.contains("evaluated=yes")'))).toBe('policy_denied');
  });

  test('namespaces and models are parents, so `in` works', () => {
    expect(askWith(when('principal in WeightVault::Namespace::"prod" && resource in WeightVault::Namespace::"prod"'))).toBe('permit: only');
    expect(askWith(when('resource in WeightVault::Model::"prod/019bc0de-0000-7000-8000-000000000003"'))).toBe('permit: only');
    expect(askWith(when('principal in WeightVault::Namespace::"research"'))).toBe('policy_denied');
  });

  test.each(['*', 'prod*', 'production" || true || "', '__entity', '\\u{2a}'])(
    'the requester attribute %j is never more than text',
    (value) => {
      const strange = attested({ attributes: { fleet: value } });
      expect(askWith(when('principal.tags.contains("fleet=production")'), { attested: strange })).toBe('policy_denied');
      expect(askWith(when('principal.tags.containsAny(["fleet=production", "owner=us"])'), { attested: strange })).toBe('policy_denied');
    },
  );

  test('an attribute named like a Cedar escape is a tag like any other', () => {
    const strange = attested({ attributes: { __entity: 'x', __extn: 'y' } });
    expect(askWith(when('principal.tags == ["__entity=x", "__extn=y"]'), { attested: strange })).toBe('permit: only');
  });

  test('throws on an attribute key that could pass for another attribute', () => {
    expect(() => ask({ attested: attested({ attributes: { 'fleet=production': '' } }) })).toThrow('contains "="');
  });
});

describe("a class's demands come before any policy", () => {
  const weaker = ['fresh', 'keyBound', 'hardware'] as const;
  const demanded: Readonly<Record<ClassName, readonly string[]>> = {
    public: [],
    internal: ['fresh', 'keyBound'],
    restricted: ['fresh', 'keyBound', 'hardware'],
    critical: ['fresh', 'keyBound', 'hardware'],
  };
  test.each(CLASS_NAMES.flatMap((name) => weaker.map((fact) => [name, fact] as const)))('%s with evidence that is not %s', (name, fact) => {
    const answer = ask({ manifest: manifest({ class: name }), attested: attested({}, { [fact]: false }) });
    expect(answer).toBe(demanded[name].includes(fact) ? 'class_demands_unmet' : 'permit: open');
  });

  test('critical is refused even to a TEE under a policy that permits everything', () => {
    const answer = decideRelease(question({ manifest: manifest({ class: 'critical' }), attested: attested({}, { tee: true }) }));
    expect(answer).toMatchObject({ code: 'class_demands_unmet', detail: expect.stringContaining('standing authorization') });
  });

  test('a class nobody knows is refused', () => {
    expect(ask({ manifest: manifest({ class: 'constructor' as ClassName }) })).toBe('class_demands_unmet');
    expect(ask({ manifest: manifest({ class: 'secret' as ClassName }) })).toBe('class_demands_unmet');
  });
});

describe('prepared sets', () => {
  test('each set decides for itself, also when more are in use than Cedar holds, and whatever digest they are said to have', () => {
    const count = PREPARED_SETS * 2 + 1;
    const sets = Array.from({ length: count }, (_, at) =>
      loaded({ [`p${at}`]: `permit (${RELEASE}) when { principal.name == "node-${at}" };` }),
    );
    for (let round = 0; round < 2; round++) {
      for (const [at, policySet] of sets.entries()) {
        expect(ask({ policySet, attested: attested({ name: `node-${at}` }) })).toBe(`permit: p${at}`);
        expect(ask({ policySet, attested: attested({ name: `node-${at + 1}` }) })).toBe('policy_denied');
      }
    }
  });
});

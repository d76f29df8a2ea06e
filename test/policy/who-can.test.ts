/** Who could do what: the starter policies against people and machines that are written down here, so that the counts can be checked by hand. */
import { describe, expect, test } from '@jest/globals';
import { CLASS_NAMES } from '../../src/domain/classes.ts';
import type { AdministratorId, Namespace } from '../../src/domain/ids.ts';
import { ADMIN_ACTIONS } from '../../src/policy/actions.ts';
import { assumptionsFor, beyondAssumptions, namesMatter } from '../../src/policy/assume.ts';
import { administrationChanges, policyChanges, releaseChanges } from '../../src/policy/differ.ts';
import { administrationReach, releaseReach, releaseReaches } from '../../src/policy/who-can.ts';
import { NOW, PROD, RELEASE, starter } from './support.ts';

const MACHINES = starter('public.cedar', 'internal.cedar', 'restricted.cedar', 'critical.cedar');
const PEOPLE = starter('administrators.cedar');
const node = (name: string, attributes: Record<string, string> = {}) => ({ namespace: PROD, name, attributes });
const FLEET = [node('a', { fleet: 'production', owner: 'us' }), node('b', { owner: 'us' }), node('c', { fleet: 'production' }), node('d')];
const version = (name: (typeof CLASS_NAMES)[number], attributes = {}) => ({ namespace: PROD, class: name, attributes });
const when = (condition: string, effect = 'permit') => `${effect} (${RELEASE}) when { ${condition} };`;

function reach(
  policies: Record<string, string>,
  requester = node('a'),
  of = version('public'),
  kinds: Parameters<typeof assumptionsFor>[1] = ['tpm2'],
) {
  return releaseReach({ requester, version: of, policies, assumptions: assumptionsFor([policies], kinds), now: NOW });
}

describe('who can be released what', () => {
  test('under the starter policies: as many as the fixture has', () => {
    const assumptions = assumptionsFor([MACHINES], ['tpm2']);
    const counts = CLASS_NAMES.map((name) => {
      const found = releaseReaches(FLEET, { version: version(name), policies: MACHINES, assumptions, now: NOW });
      return [name, found.map(({ answer }) => answer).join(' ')];
    });
    expect(counts).toEqual([
      ['public', 'always always always always'],
      ['internal', 'if if never never'],
      ['restricted', 'if never if never'],
      ['critical', 'never never never never'],
    ]);
  });

  test('says the least evidence, the policies that permit and what blocks otherwise', () => {
    expect(reach(MACHINES, FLEET[0], version('restricted'))).toEqual({
      answer: 'if',
      enough: [['fresh', 'keyBound', 'hardware']],
      spoiledBy: [],
      determining: ['restricted-to-production-fleet'],
      otherwise: ['class_demands_unmet'],
    });
    expect(reach(MACHINES, FLEET[3], version('internal'))).toMatchObject({
      answer: 'never',
      otherwise: ['policy_denied: no policy permits it'],
    });
    expect(reach(MACHINES, FLEET[0], version('critical')).otherwise[0]).toContain('standing authorization');
    expect(reach({}).otherwise).toEqual(['policy_missing: the access policy in force is empty']);
  });

  test('alternatives, reference values and facts', () => {
    const either = when('context.evidence.tee || context.evidence.matched.contains("golden-2")');
    expect(reach({ either }).enough).toEqual([['matched golden-2'], ['hardware', 'tee']]);
    const both = when('context.evidence.matched.containsAll(["g-1", "g-2"]) && context.evidence.facts.contains("firmwareVersion=2")');
    expect(reach({ both }).enough).toEqual([['matched g-1', 'matched g-2', 'fact firmwareVersion=2']]);
  });

  test('versions that a policy names by tag, id, model or digest are found, not missed', () => {
    const id = '019bc0de-0000-7000-8000-000000000004';
    const named = {
      tag: when('resource.class == "public" && resource.tags.contains("evaluated=yes")'),
      version: `permit (principal, action, resource == WeightVault::ModelVersion::"prod/${id}");`,
      model: when(`resource in WeightVault::Model::"prod/${id}"`),
      digest: when(`resource.versionDigest == "${'7'.repeat(64)}"`),
    };
    expect(reach({ tag: named.tag }).enough).toEqual([['version tag evaluated=yes']]);
    expect(reach({ tag: named.tag }, node('a'), version('public', { evaluated: 'yes' })).answer).toBe('always');
    expect(reach({ tag: named.tag }, node('a'), version('public', { evaluated: 'no' })).answer).toBe('never');
    expect(reach({ version: named.version }).enough).toEqual([[`version prod/${id}`]]);
    expect(reach({ model: named.model }).enough).toEqual([[`model prod/${id}`]]);
    expect(reach({ digest: named.digest }).enough).toEqual([[`digest ${'7'.repeat(64)}`]]);
  });

  test('says which policies assumptions cannot stand for', () => {
    expect(beyondAssumptions({ ...MACHINES, ...PEOPLE })).toEqual([]);
    const policies = {
      shared: when('principal.tags.containsAny(resource.tags)'),
      empty: when('context.evidence.matched.isEmpty()'),
      like: when('resource.versionDigest like "7*"'),
      fine: when('context.evidence.matched.contains("g") && context.evidence.tee && context.now > datetime("2026-01-01")'),
    };
    expect(beyondAssumptions(policies)).toEqual(['shared', 'empty', 'like']);
  });

  test('what a forbid spoils', () => {
    const found = reach({ open: when('resource.class == "public"'), no: when('context.evidence.matched.contains("old")', 'forbid') });
    expect(found).toMatchObject({
      answer: 'if',
      enough: [[]],
      spoiledBy: [['matched old']],
      otherwise: ['policy_denied: forbidden by no'],
    });
  });

  test('a fact has one value at a time, and more of them than can be tried is said', () => {
    const two = when('context.evidence.facts.contains("v=1") && context.evidence.facts.contains("v=2")');
    expect(reach({ two }).answer).toBe('never');
    const many = when(`context.evidence.matched.containsAny([${Array.from({ length: 600 }, (_, at) => `"g-${at}"`).join()}])`);
    expect(() => reach({ many })).toThrow('too many reference values');
  });

  test('tells machines apart by name only where a policy does', () => {
    expect(namesMatter(MACHINES)).toBe(false);
    const named = [
      when('principal.name == "a"'),
      'permit (principal == WeightVault::Requester::"prod/a", action, resource);',
      when('[WeightVault::Requester::"prod/a"].contains(principal)'),
      'permit (principal is WeightVault::Requester in WeightVault::Requester::"prod/a", action == WeightVault::Action::"release", resource);',
    ];
    for (const text of named) {
      expect(namesMatter({ text })).toBe(true);
      const asked = { version: version('public'), policies: { text }, assumptions: assumptionsFor([{ text }], ['tpm2']), now: NOW };
      expect(releaseReaches([node('a'), node('b')], asked).map(({ answer }) => answer)).toEqual(['always', 'never']);
    }
  });
});

describe('what each administrator may do', () => {
  const person = (...roles: string[]) => ({ name: 'ada', roles });
  const actionsOf = (...roles: string[]) =>
    administrationReach(person(...roles), PEOPLE, { namespaces: [PROD], now: NOW })
      .filter(({ elsewhere }) => elsewhere)
      .map(({ action }) => action);

  test('every role has its actions and no more; a person without a role has none', () => {
    expect(actionsOf()).toEqual([]);
    expect(actionsOf('reviewer')).toEqual(['readCatalogue', 'readLog']);
    expect(actionsOf('approver')).toEqual(['readCatalogue', 'approve']);
    expect(actionsOf('key-custodian')).toEqual(['readCatalogue', 'rotateKey', 'destroyKey']);
    const roles = ['publisher', 'approver', 'policy-author', 'enroller', 'responder', 'registrar', 'key-custodian', 'reviewer'];
    expect(actionsOf(...roles).sort()).toEqual([...ADMIN_ACTIONS].sort());
  });

  test('a person whom a policy names is found by id, and nobody else', () => {
    const administratorId = '019bc0de-0000-7000-8000-000000000009' as AdministratorId;
    const policies = { root: `permit (principal == WeightVault::Administrator::"${administratorId}", action, resource);` };
    const able = (who: Parameters<typeof administrationReach>[0]) =>
      administrationReach(who, policies, { namespaces: [], now: NOW }).filter(({ elsewhere }) => elsewhere).length;
    expect([able({ ...person(), administratorId }), able(person())]).toEqual([ADMIN_ACTIONS.length, 0]);
  });

  test('namespaces that a policy names are told apart from all others', () => {
    const who = 'principal is WeightVault::Administrator, action == WeightVault::Action::"approve"';
    const policies = {
      one: `permit (${who}, resource) when { principal.roles.contains("a") && resource == WeightVault::Namespace::"lab" };`,
      two: `permit (${who}, resource == WeightVault::Namespace::"prod") when { principal.roles.contains("a") };`,
      all: `permit (${who}, resource) when { principal.roles.contains("b") };`,
      not: `forbid (${who}, resource in WeightVault::Namespace::"vip");`,
    };
    const asked = { namespaces: ['other' as Namespace], now: NOW, actions: ['approve' as const] };
    expect(administrationReach(person('a'), policies, asked)).toEqual([
      {
        action: 'approve',
        elsewhere: false,
        permitted: ['lab', 'prod'],
        denied: ['other', 'system', 'vip'],
        determining: ['one', 'two'],
        otherwise: ['action_denied: no policy permits it', 'action_denied: forbidden by not'],
      },
    ]);
    expect(administrationReach(person('b'), policies, asked)[0]).toMatchObject({ elsewhere: true, denied: ['vip'] });
  });
});

describe('what another set changes', () => {
  const assumptions = assumptionsFor([MACHINES], ['tpm2']);
  const changes = (after: Record<string, string>) =>
    releaseChanges(
      FLEET,
      CLASS_NAMES.map((name) => version(name)),
      { before: MACHINES, after, assumptions, now: NOW },
    );

  test('policies added, removed and changed', () => {
    expect(policyChanges({ a: '1', b: '2', c: '3' }, { b: '2', c: '4', d: '5' })).toEqual({ added: ['d'], removed: ['a'], changed: ['c'] });
  });

  test('no decision, when only a name changes', () => {
    expect(changes({ ...starter('public.cedar', 'internal.cedar', 'critical.cedar'), ...renamed() })).toEqual([]);
  });

  function renamed(): Record<string, string> {
    return Object.fromEntries(Object.entries(starter('restricted.cedar')).map(([id, text]) => [`${id}-2`, text.replace(id, `${id}-2`)]));
  }

  test('a permit more opens, for whom and with what', () => {
    expect(changes({ ...MACHINES, more: when('resource.class == "internal" && principal.tags.contains("fleet=production")') })).toEqual([
      {
        who: 'c',
        what: 'release of internal versions',
        from: 'deny',
        to: 'permit',
        when: [['fresh', 'keyBound']],
        because: ['more'],
      },
    ]);
  });

  test('a forbid more, and a permit less, close', () => {
    const closed = changes({ ...MACHINES, no: when('principal.tags.contains("fleet=production") && context.evidence.tee', 'forbid') });
    expect(closed.map(({ who, what, to, because }) => [who, what, to, because.join()])).toEqual([
      ...['public', 'internal', 'restricted'].map((name) => ['a', `release of ${name} versions`, 'deny', 'no']),
      ...['public', 'restricted'].map((name) => ['c', `release of ${name} versions`, 'deny', 'no']),
    ]);
    const { 'public-to-everyone-enrolled': _, ...less } = MACHINES;
    expect(changes(less).map(({ who, to, when: with_ }) => [who, to, with_])).toEqual(FLEET.map(({ name }) => [name, 'deny', [[]]]));
  });

  test('for people: by action and namespace', () => {
    const lab =
      'permit (principal is WeightVault::Administrator, action == WeightVault::Action::"approve", resource == WeightVault::Namespace::"lab") when { principal.roles.contains("reviewer") };';
    const { reviewer: _, ...less } = PEOPLE;
    const people = [
      { name: 'ada', roles: ['reviewer'] },
      { name: 'bob', roles: ['approver'] },
    ];
    const turned = administrationChanges(people, PEOPLE, { ...less, lab }, { namespaces: [PROD], now: NOW });
    expect(turned.map(({ who, what, to, because }) => [who, what, to, because.join()])).toEqual([
      ['ada', 'approve in lab', 'permit', 'lab'],
      ['ada', 'readLog in lab', 'deny', 'reviewer'],
      ['ada', 'readLog in prod', 'deny', 'reviewer'],
      ['ada', 'readLog in system', 'deny', 'reviewer'],
      ['ada', 'readLog in any other namespace', 'deny', 'reviewer'],
    ]);
  });
});

import { schemaToJson } from '@cedar-policy/cedar-wasm/nodejs';
import { describe, expect, test } from '@jest/globals';
import type { AdministratorId, Namespace } from '../../src/domain/ids.ts';
import { ADMIN_ACTIONS } from '../../src/policy/actions.ts';
import { type AdministrationQuestion, decideAdministration } from '../../src/policy/decide.ts';
import { SCHEMA_TEXT } from '../../src/policy/schema.ts';
import { digest, FAILS, loaded, NOW, PROD, starter } from './support.ts';

const ANYTHING = 'principal is WeightVault::Administrator, action, resource';
const open = { open: `permit (${ANYTHING});` };

function decide(over: Partial<AdministrationQuestion> = {}) {
  return decideAdministration({
    administrator: { administratorId: '019bc0de-0000-7000-8000-000000000009' as AdministratorId, name: 'ada', roles: ['publisher'] },
    action: 'publishVersion',
    namespace: PROD,
    context: { mfa: 'totp', workstationBound: true, now: NOW },
    policySet: loaded(open, 'system'),
    ...over,
  });
}

describe('administration', () => {
  test('the actions in the code are the actions in the schema', () => {
    const schema = schemaToJson(SCHEMA_TEXT);
    if (schema.type === 'failure') throw new Error('the schema does not parse');
    const actions = schema.json['WeightVault']?.actions ?? {};
    const forPeople = Object.keys(actions).filter((name) => actions[name]?.appliesTo?.principalTypes.includes('Administrator'));
    expect(forPeople.sort()).toEqual([...ADMIN_ACTIONS].sort());
    expect(Object.keys(actions).sort()).toEqual([...ADMIN_ACTIONS, 'release'].sort());
  });

  test('is permitted by a policy, which the permit names', () => {
    expect(decide()).toEqual({ determining: ['open'], policySetDigest: digest('5') });
  });

  test.each(ADMIN_ACTIONS)('%s is refused without a policy set, and with zero policies', (action) => {
    expect(decide({ action, policySet: undefined })).toMatchObject({ refused: true, code: 'policy_missing' });
    expect(decide({ action, policySet: loaded({}, 'system') })).toMatchObject({ refused: true, code: 'policy_missing' });
  });

  test('is refused when a forbid cannot be evaluated', () => {
    const policySet = loaded({ ...open, broken: `forbid (${ANYTHING}) when { ${FAILS} };` }, 'system');
    expect(decide({ policySet })).toMatchObject({ refused: true, code: 'policy_error' });
  });

  test('is refused in a namespace the policy does not name', () => {
    const policySet = loaded({ one: 'permit (principal, action, resource == WeightVault::Namespace::"prod");' }, 'system');
    expect(decide({ policySet })).toMatchObject({ determining: ['one'] });
    expect(decide({ policySet, namespace: 'research' as Namespace })).toMatchObject({ refused: true, code: 'action_denied' });
  });

  test('policies for machines permit people nothing', () => {
    const policySet = loaded(starter('public.cedar', 'internal.cedar', 'restricted.cedar'), 'system');
    expect(decide({ policySet })).toMatchObject({ refused: true, code: 'action_denied' });
  });

  test("throws on a namespace's own policy set: its authors do not decide who administers the vault", () => {
    expect(() => decide({ policySet: loaded(open, 'prod') })).toThrow('another namespace');
  });

  test('an action the schema does not know is refused, whatever permits it', () => {
    expect(decide({ action: 'destroyEverything' as 'approve' })).toMatchObject({ refused: true, code: 'policy_error' });
  });
});

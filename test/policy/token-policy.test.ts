/** The policy for tokens in policies/README.md does what the page says of it. */
import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { runCase } from '../../src/policy/cases.ts';
import { splitPolicies, validatePolicySet } from '../../src/policy/policy-set.ts';
import { PROD } from './support.ts';

const page = readFileSync(new URL('../../policies/README.md', import.meta.url), 'utf8');
const [, , example = ''] = page.split('```cedar\n').map((part) => part.split('```')[0]);
const policies = splitPolicies(example);
const token = { kinds: ['jwt'], hardware: false, matched: ['inference-image-12'], facts: { debug: 'disabled-since-boot' } } as const;

test('it validates, and its name is in the page once', () => {
  validatePolicySet(policies);
  expect(Object.keys(policies)).toEqual(['internal-to-the-inference-image']);
});

test.each([
  ['the token it is for', token, 'permit'],
  ['a token of a workload in debug', { ...token, facts: { debug: 'enabled' } }, 'deny'],
  ['a token that says so under another name', { ...token, facts: { mode: 'disabled-since-boot' } }, 'deny'],
  ['a token that matched another value', { ...token, matched: ['inference-image-11'] }, 'deny'],
  ['a TPM quote with the same facts', { ...token, kinds: ['tpm2'] as const, hardware: true }, 'deny'],
  ['a token without a nonce', { ...token, fresh: false, keyBound: false }, 'deny'],
] as const)('%s: %s', (name, evidence, decision) => {
  const result = runCase(
    {
      name,
      requester: { namespace: PROD, name: 'cvm-1', attributes: {} },
      version: { namespace: PROD, class: 'internal', attributes: {} },
      evidence,
      expect: { decision: 'permit', determining: ['internal-to-the-inference-image'] },
    },
    policies,
  );
  expect(result.got.decision).toBe(decision);
});

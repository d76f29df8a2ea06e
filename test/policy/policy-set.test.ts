import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { BODY_SCHEMAS } from '../../src/documents/bodies.ts';
import { VaultError } from '../../src/domain/errors.ts';
import { depthProblem, MAX_NESTING, MAX_OPERATORS, MAX_POLICIES, MAX_POLICY_BYTES } from '../../src/policy/policy-limits.ts';
import { SCHEMA_DIGEST, splitPolicies, validatePolicySet } from '../../src/policy/policy-set.ts';
import { ask, loaded, RELEASE } from './support.ts';

const OPEN = `permit (${RELEASE});`;

function problemsOf(policies: Record<string, string>, check: (policies: Record<string, string>) => void = validatePolicySet): string {
  try {
    check(policies);
  } catch (error) {
    if (error instanceof VaultError && error.code === 'policy_invalid') return error.detail;
    throw error;
  }
  return '';
}

describe('validatePolicySet', () => {
  test('accepts good policies and the empty set', () => {
    validatePolicySet({ open: OPEN });
    validatePolicySet({});
  });

  test('refuses an unknown attribute with id, line, column and a suggestion, in characters and not bytes', () => {
    const text = `// über\npermit (${RELEASE})\nwhen { /*ü*/ true };`.replace('/*ü*/ true', '"ü" == "ü" && context.evidence.hardwear');
    expect(problemsOf({ good: OPEN, bad: text })).toMatch(
      /^bad:3:22: attribute `evidence\.hardwear` .*not found \(did you mean `hardware`\?\)$/,
    );
  });

  test('refuses an unknown action', () => {
    expect(problemsOf({ bad: 'permit (principal, action == WeightVault::Action::"relese", resource);' })).toMatch(
      /bad:1:30: unrecognized action .*did you mean/,
    );
  });

  test('refuses what Cedar cannot parse, and says where', () => {
    expect(problemsOf({ bad: 'permit (\n  principal, acton, resource);' })).toMatch(/^bad:2:14: found an invalid variable .*acton/);
  });

  test('names every policy that is wrong, not just the first', () => {
    const detail = problemsOf({ one: OPEN.replace('Requester', 'Requestor'), two: `${OPEN.slice(0, -1)} when { context.x };` });
    expect(detail).toContain('one:');
    expect(detail).toContain('two:');
  });

  test.each([
    ['a template', 'permit (principal == ?principal, action, resource);', 'template'],
    ['two policies', `${OPEN}\n${OPEN}`, 'unexpected token'],
    ['no policy', '', 'unexpected end'],
    ['only a comment', '// nothing', 'unexpected end'],
    ['a policy that can never apply', `forbid (${RELEASE}) when { false };`, 'impossible'],
    ['a type error', `permit (${RELEASE}) when { principal.tags.contains(1) };`, 'not compatible'],
    ['an invisible character', `permit (${RELEASE}) when { principal.name == "a\u202eb" };`, 'invisible'],
    ['a lone surrogate', `permit (${RELEASE}) when { principal.name == "a\ud800" };`, 'invisible'],
    ['another @id than its id', `@id("other") ${OPEN}`, 'its @id says "other"'],
    ['too many bytes', `${OPEN}//${' '.repeat(MAX_POLICY_BYTES)}`, '65536 bytes'],
  ])('refuses %s', (_name, text, problem) => {
    expect(problemsOf({ p: text })).toContain(problem);
  });

  test.each(['', 'A', 'a b', 'a/b', '-a', '__proto__', 'ä', 'a'.repeat(65)])('refuses the id %j', (id) => {
    expect(problemsOf(Object.fromEntries([[id, OPEN]]))).toContain('an id is');
  });

  test('refuses too many policies and too many bytes together', () => {
    const many = (count: number, text: string) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`p${at}`, text]));
    expect(problemsOf(many(MAX_POLICIES + 1, OPEN))).toContain('1000 policies');
    expect(problemsOf(many(17, `${OPEN}//${' '.repeat(MAX_POLICY_BYTES - 1000)}`))).toContain('1048576 bytes');
  });
});

describe('a policy that would overrun Cedar', () => {
  const deep = {
    parentheses: `permit (${RELEASE}) when { ${'('.repeat(500)}true${')'.repeat(500)} };`,
    records: `permit (${RELEASE}) when { ${'{a:'.repeat(150)}1${'}'.repeat(150)} == {a: 1} };`,
    conjunction: `permit (${RELEASE}) when { ${Array(500).fill('context.evidence.tee').join(' && ')} };`,
    conditions: `permit (${RELEASE}) ${'when { context.evidence.tee } '.repeat(500)};`,
    attributes: `permit (${RELEASE}) when { principal${'.name'.repeat(500)} == "a" };`,
    indexes: `permit (${RELEASE}) when { principal${'["name"]'.repeat(500)} == "a" };`,
    'comment that seems to end a policy': `permit (${RELEASE}) when { ${'(//;\n'.repeat(500)}true${')'.repeat(500)} };`,
    'string that seems to end a policy': `permit (${RELEASE}) when { ${'(";" == "\\";" && '.repeat(500)}true${')'.repeat(500)} };`,
  };
  test.each(Object.entries(deep))('%s: is refused before Cedar sees it, and the vault goes on deciding', (_name, text) => {
    expect(problemsOf({ deep: text })).toMatch(/nested more than|operators in one policy/);
    expect(problemsOf({ deep: text }, () => splitPolicies(`@id("deep") ${text}`))).toMatch(/nested more than|operators in one policy/);
    expect(ask({ policySet: loaded({ deep: text }) })).toBe('policy_error');
    expect(ask()).toBe('permit: open');
  });

  test('the deepest policies that are let through do not', () => {
    const inner = (count: number) => `${'{a:'.repeat(MAX_NESTING - 1)}${Array(count).fill('1').join(' + ')}${'}'.repeat(MAX_NESTING - 1)}`;
    const count = MAX_OPERATORS - 2 * MAX_NESTING - 20;
    const text = `permit (${RELEASE}) when { ${inner(count)} == ${inner(1)} };`;
    expect(depthProblem(text)).toBeUndefined();
    validatePolicySet({ deepest: text });
    expect(ask({ policySet: loaded({ deepest: text }) })).toBe('policy_denied');
  });
});

describe('loadPolicySet', () => {
  test('a set with one policy that does not validate decides nothing at all', () => {
    expect(ask({ policySet: loaded({ open: OPEN, bad: `forbid (${RELEASE}) when { context.nothing };` }) })).toBe('policy_error');
  });

  test('a set changed after it was loaded decides as it was loaded', () => {
    const policies: Record<string, string> = { narrow: `permit (${RELEASE}) when { context.evidence.tee };` };
    const policySet = loaded(policies);
    policies['open'] = OPEN;
    expect(ask({ policySet })).toBe('policy_denied');
  });
});

describe('splitPolicies', () => {
  test('gives each policy its @id and keeps the comments inside it', () => {
    const text = `// about a\n@id("a")\n${OPEN.replace(';', ' // why\n;')}\n\n@id("b") ${OPEN}\n// end\n`;
    const policies = splitPolicies(text);
    expect(Object.keys(policies)).toEqual(['a', 'b']);
    expect(policies['a']).toContain('// why');
  });

  test.each([
    ['a policy without an @id', OPEN, 'needs an @id'],
    ['an @id without a value', `@id ${OPEN}`, 'needs an @id'],
    ['an @id twice', `@id("a") ${OPEN} @id("a") ${OPEN}`, 'two policies'],
    ['an @id that is no id', `@id("__proto__") ${OPEN}`, 'an id is'],
    ['a template', '@id("a") permit (principal == ?principal, action, resource);', 'templates'],
    ['text that is no policy', 'permit', '1:7'],
  ])('refuses %s', (_name, text, problem) => {
    expect(problemsOf({}, () => splitPolicies(text))).toContain(problem);
  });
});

describe('docs/formats/policy-set.md', () => {
  const doc = readFileSync(new URL('../../docs/formats/policy-set.md', import.meta.url), 'utf8');
  const example: unknown = JSON.parse(/```json\n([\s\S]*?)```/.exec(doc)?.[1] ?? '');

  test('begins with a body the vault accepts, of the schema as it is', () => {
    const body = BODY_SCHEMAS['policy-set'].parse(example);
    validatePolicySet(body.policies);
    expect(body.schemaDigest).toBe(SCHEMA_DIGEST);
  });

  test('the schema digest is that of the file', () => {
    const bytes = readFileSync(new URL('../../policies/weight-vault.cedarschema', import.meta.url));
    expect(SCHEMA_DIGEST).toBe(createHash('sha256').update(bytes).digest('hex'));
  });
});

/** What `wv policy check` finds, and that it refuses exactly what the vault refuses. */
import { readdirSync, readFileSync } from 'node:fs';
import { policySetTextToParts, policyToJson } from '@cedar-policy/cedar-wasm/nodejs';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { VaultError } from '../../src/domain/errors.ts';
import { type CheckedProblem, checkPolicies } from '../../src/policy/check.ts';
import { nearest } from '../../src/policy/nearest.ts';
import { neverApplies } from '../../src/policy/never-applies.ts';
import { splitPolicies, validatePolicySet } from '../../src/policy/policy-set.ts';
import { statements } from '../../src/policy/statements.ts';
import { RELEASE } from './support.ts';

const KNOWN = { evidenceKinds: ['tpm2'] };
const POLICIES = new URL('../../policies/', import.meta.url);
const starters = readdirSync(POLICIES).filter((file) => file.endsWith('.cedar'));
const textOf = (file: string) => readFileSync(new URL(file, POLICIES), 'utf8');

const check = (text: string, known: Parameters<typeof checkPolicies>[1] = KNOWN) =>
  checkPolicies([{ name: 'a.cedar', text }], known).problems;
const when = (condition: string, id = 'p') => `@id("${id}") permit (${RELEASE}) when { resource.class == "public" && ${condition} };`;
const inShort = ({ severity, message, help }: CheckedProblem) => `${severity}: ${message}${help === undefined ? '' : ` (${help})`}`;

describe('places', () => {
  test('file, line and column in characters, the width of what is wrong, and the line itself', () => {
    const text = `// über\n@id("p") permit (${RELEASE})\nwhen { "ü" == "ü" && context.evidence.hardwear && resource.class == "public" };`;
    expect(check(text)).toEqual([
      {
        severity: 'error',
        policyId: 'p',
        message: expect.stringContaining('attribute `evidence.hardwear`'),
        help: 'did you mean `hardware`?',
        place: { file: 'a.cedar', line: 3, column: 22, width: 25, source: text.split('\n')[2] },
      },
    ]);
  });

  test('all problems of all files, in order, not only the first', () => {
    const files = [
      { name: 'one.cedar', text: `@id("x") permit (principl, action, resource);\n${when('context.nothing', 'y')}` },
      { name: 'two.cedar', text: `${when('true', 'y')}\npermit (${RELEASE}) when { resource.class == "pubic" };\n@id("z") forbid (` },
    ];
    const found = checkPolicies(files, KNOWN).problems.map(({ place, message }) => `${place?.file}:${place?.line} ${message}`);
    expect(found).toEqual([
      expect.stringMatching(/^one.cedar:1 .*principl/),
      expect.stringMatching(/^one.cedar:2 .*nothing/),
      expect.stringMatching(/^two.cedar:1 two policies have this @id: the other is at one.cedar:2/),
      expect.stringMatching(/^two.cedar:2 every policy needs an @id/),
      expect.stringMatching(/^two.cedar:2 `resource.class` is never "pubic"/),
      expect.stringMatching(/^two.cedar:3 unexpected end of input/),
    ]);
  });

  test('a line that ends in CR LF, a tab and an empty file', () => {
    const [problem] = check(`@id("p") permit (${RELEASE})\r\n\twhen { resource.class == "x" };\r\n`);
    expect(problem?.place).toMatchObject({ line: 2, column: 27, width: 3, source: '\twhen { resource.class == "x" };' });
    expect(check('// nothing\n').map(inShort)).toEqual(['warning: there is no policy in this file']);
  });
});

describe('what Cedar cannot see', () => {
  test.each([
    ['resource.class == "restrcited"', 'error: `resource.class` is never "restrcited" (did you mean "restricted"?)'],
    ['"Public" != resource.class', 'error: `resource.class` is never "Public" (did you mean "public"?)'],
    ['["public", "interal"].contains(resource.class)', 'error: `resource.class` is never "interal" (did you mean "internal"?)'],
    ['context.evidence.tier == "warning"', 'error: `context.evidence.tier` is never "warning" (known: affirming)'],
    ['context.delivery == "streem"', 'error: `context.delivery` is never "streem" (did you mean "stream"?)'],
    ['context.evidence.kinds.contains("tmp2")', 'error: `context.evidence.kinds` never contains "tmp2" (did you mean "tpm2"?)'],
    ['context.evidence.kinds.containsAny(["tpm2", "sgx"])', 'error: `context.evidence.kinds` never contains "sgx" (known: tpm2)'],
    ['principal.tags.contains("fleet")', 'error: `principal.tags` never contains "fleet" (a tag is written "key=value")'],
    ['principal.tags.contains("fleet=prod*")', 'warning: "*" in "fleet=prod*" is a character here, not a wildcard (write each value out)'],
    [
      'principal.name like "node-*"',
      'warning: `principal.name like "node-*"` matches everything that only begins so (compare whole values with == or contains)',
    ],
  ])('%s', (condition, expected) => {
    const found = check(when(condition));
    expect(found.map(inShort)).toContain(expected);
    const { source = '', column = 0, width = 0 } = found.find((one) => inShort(one) === expected)?.place ?? {};
    const literal = /"[^"]+"/.exec(expected.replace(/^warning: "\*" in /, ''))?.[0];
    expect(source.slice(column - 1, column - 1 + width)).toBe(literal);
  });

  test('a second factor that does not exist', () => {
    const text = '@id("p") permit (principal is WeightVault::Administrator, action, resource) when { context.mfa == "topt" };';
    expect(check(text).map(inShort)).toEqual(['error: `context.mfa` is never "topt" (did you mean "totp"?)']);
  });

  test('a permit for releases with no condition on class or evidence, but not one for people, for one version, or a forbid', () => {
    const open = 'this permit has no condition on the class or the evidence';
    expect(check(`@id("p") permit (${RELEASE}) when { principal.tags.contains("a=b") };`).map(inShort).join()).toContain(open);
    expect(check('@id("p") permit (principal, action, resource);').map(inShort).join()).toContain(open);
    expect(check('@id("p") permit (principal is WeightVault::Administrator, action, resource);')).toEqual([]);
    expect(check('@id("p") permit (principal, action, resource == WeightVault::ModelVersion::"prod/x");')).toEqual([]);
    expect(check(`@id("p") forbid (${RELEASE});`)).toEqual([]);
    expect(check(`@id("p") permit (${RELEASE}) when { context.evidence.tee };`)).toEqual([]);
  });

  test('ids of reference values that are not in the file, only when there is one', () => {
    const text = when('context.evidence.matched.contains("golden-2027")');
    expect(check(text)).toEqual([]);
    expect(check(text, { ...KNOWN, referenceIds: ['golden-2026'] }).map(inShort)).toEqual([
      'warning: no reference value has the id "golden-2027" (did you mean "golden-2026"?)',
    ]);
    expect(check(text, { ...KNOWN, referenceIds: ['golden-2027'] })).toEqual([]);
  });

  test.each([
    'when { resource.class == "public" && resource.class == "internal" }',
    'when { context.evidence.tee && !context.evidence.tee }',
    'when { resource.class == "public" } unless { resource.class != "internal" }',
    'unless { context.evidence.tier == "affirming" || context.evidence.tee }',
    'when { principal.tags.contains("a=b") } unless { principal.tags.containsAny(["a=b"]) }',
    'when { ["public"].contains(resource.class) && resource.class == "internal" }',
    'when { resource.class != "public" && resource.class != "internal" && resource.class != "restricted" && resource.class != "critical" }',
  ])('a forbid that can never apply: %s', (conditions) => {
    expect(check(`@id("p") forbid (${RELEASE}) ${conditions};`).map(inShort).join()).toContain('this forbid can never apply');
  });

  test.each([
    'when { resource.class == "public" || resource.class == "internal" }',
    'unless { context.evidence.tier == "affirming" && context.evidence.hardware }',
    'when { principal.tags.contains("a=b") } unless { principal.tags.containsAll(["a=b", "c=d"]) }',
    'when { ["a=b"].containsAll(principal.tags) } unless { principal.tags.contains("a=b") }',
    'when { principal.name == "a" } unless { principal.namespace == "b" }',
    'when { if context.evidence.tee then resource.class == "public" else resource.class == "internal" }',
  ])('a forbid that can: %s', (conditions) => {
    expect(check(`@id("p") forbid (${RELEASE}) ${conditions};`)).toEqual([]);
  });

  test('says nothing about conditions with too many ways to hold', () => {
    const either = '(context.evidence.tee || context.evidence.hardware)';
    const parsed = policyToJson(`forbid (${RELEASE}) when { ${Array(12).fill(either).join(' && ')} && resource.class == "x" };`);
    if (parsed.type === 'failure') throw new Error('does not parse');
    expect(neverApplies(parsed.json, { 'resource.class': ['public'] })).toBe(false);
  });
});

describe('the same refusals as the vault', () => {
  test.each(starters)('%s has no problem', (file) => {
    expect(check(textOf(file))).toEqual([]);
  });

  test.each(starters)('%s falls into the policies that Cedar sees', (file) => {
    const parts = policySetTextToParts(textOf(file));
    if (parts.type === 'failure') throw new Error('does not parse');
    expect(
      statements(textOf(file))
        .map(({ text }) => text)
        .sort(),
    ).toEqual([...parts.policies].sort());
  });

  const broken = fc.constantFrom('', 'acton', '"', '//', ';', '(', '}', 'unless', '@id("publisher")', '\u202e', '*', '== 1', '?principal');
  test('whatever one damages in a policy file: an error here if and only if the vault refuses it, or a lint of ours says so', () => {
    const seen = new Set<boolean>();
    const text = textOf('restricted.cedar');
    fc.assert(
      fc.property(fc.nat(text.length), fc.nat(12), broken, (at, cut, put) => {
        const damaged = text.slice(0, at) + put + text.slice(at + cut);
        const refused = isRefused(damaged);
        seen.add(refused);
        const errors = check(damaged).filter(({ severity }) => severity === 'error');
        return refused ? errors.length > 0 : errors.every(({ message }) => /is never|never contains|can never apply/.test(message));
      }),
      { numRuns: 120 },
    );
    expect([...seen].sort()).toEqual([false, true]);
  });

  function isRefused(text: string): boolean {
    try {
      validatePolicySet(splitPolicies(text));
      return false;
    } catch (error) {
      if (error instanceof VaultError && error.code === 'policy_invalid') return true;
      throw error;
    }
  }
});

test('nearest: a slip of the finger, a swap, another case; not just any word', () => {
  const words = ['public', 'internal', 'restricted'];
  expect(['restrcited', 'publc', 'INTERNAL', 'internl'].map((word) => nearest(word, words))).toEqual([
    'restricted',
    'public',
    'internal',
    'internal',
  ]);
  expect(['secret', '', 'x'.repeat(100)].map((word) => nearest(word, words))).toEqual([undefined, undefined, undefined]);
});

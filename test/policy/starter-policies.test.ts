/** Runs policies/tests/*.json: each case is a request and the decision it must get, with the ids or the reason. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { readSuites } from '../../src/cli/policy-files.ts';
import { runSuite } from '../../src/cli/policy-test.ts';
import type { ClassName } from '../../src/domain/classes.ts';
import { isRefusal } from '../../src/domain/evidence.ts';
import { NO_EGRESS, releaseRequest } from '../../src/policy/attributes.ts';
import { decideRelease } from '../../src/policy/decide.ts';
import { evaluate } from '../../src/policy/evaluate.ts';
import { splitPolicies, validatePolicySet } from '../../src/policy/policy-set.ts';
import { attested, loaded, manifest, question, RELEASE, starter } from './support.ts';

const POLICIES = new URL('../../policies/', import.meta.url);
const suites = await readSuites(fileURLToPath(new URL('tests', POLICIES)));
const read = (file: string) => readFileSync(new URL(file, POLICIES), 'utf8');

describe.each(suites.map((suite) => [suite.name, suite] as const))('policies/tests/%s', (_file, suite) => {
  test('every case is decided as expected, and every policy decided some case', async () => {
    const { results, undecisive } = await runSuite(suite);
    expect(results.length).toBeGreaterThan(6);
    expect(results.filter(({ passed }) => !passed)).toEqual([]);
    expect(undecisive).toEqual([]);
  });

  test('a case that expects something else fails', async () => {
    const wrong = suite.cases.map((one) => ({ ...one, expect: { decision: 'permit', determining: ['nobody'] } as const }));
    const { results } = await runSuite({ ...suite, cases: wrong });
    expect(results.filter(({ passed }) => passed)).toEqual([]);
  });
});

describe('the starter policies', () => {
  test.each(readdirSync(POLICIES).filter((file) => file.endsWith('.cedar')))('%s validates by itself and begins in plain words', (file) => {
    const text = read(file);
    expect(text).toMatch(/^\/\/ /);
    validatePolicySet(splitPolicies(text));
  });

  test('the example in the README is the policy in the file', () => {
    const example = /```cedar\n([\s\S]*?)```/.exec(read('README.md'))?.[1] ?? '';
    expect(splitPolicies(example)).toEqual(starter('internal.cedar'));
  });

  test('the guards hold by themselves, under a permit for everything', () => {
    const policySet = loaded({ ...starter('restricted.cedar', 'critical.cedar'), open: `permit (${RELEASE});` });
    const guarded = (name: ClassName, hardware: boolean) =>
      evaluate(policySet, releaseRequest(question({ manifest: manifest({ class: name }), attested: attested({}, { hardware }) })));
    expect(guarded('restricted', true)).toMatchObject({ allow: true });
    expect(guarded('restricted', false)).toMatchObject({ allow: false, determining: ['restricted-needs-hardware-evidence'] });
    expect(guarded('critical', true)).toMatchObject({ allow: false, determining: ['critical-stays'] });
  });

  test('a limit of machines written before policies could tell them apart stays valid, and refuses the eight themselves as it did', () => {
    const allowed = (limit: string, machineCounted: boolean) => {
      const policySet = loaded({ open: `permit (${RELEASE});`, limit: `forbid (${RELEASE}) when { ${limit} };` });
      const egress = { ...NO_EGRESS, machinesLast24h: 8, machineCounted };
      const decided = evaluate(policySet, releaseRequest({ ...question(), egress }));
      return !isRefusal(decided) && decided.allow;
    };
    const limit = 'context.egress.machinesLast24h >= 8';
    expect([allowed(limit, false), allowed(limit, true)]).toEqual([false, false]);
    const since = `${limit} && !context.egress.machineCounted`;
    expect([allowed(since, false), allowed(since, true)]).toEqual([false, true]);
  });

  test('one class permits nothing of another class', () => {
    const allowed = (file: string, name: ClassName) =>
      !isRefusal(decideRelease(question({ policySet: loaded(starter(file)), manifest: manifest({ class: name }) })));
    for (const name of ['public', 'internal', 'restricted', 'critical'] as const) {
      for (const file of ['public', 'internal', 'restricted', 'critical'] as const) {
        expect([name, file, allowed(`${file}.cedar`, name)]).toEqual([name, file, name === file && name !== 'critical']);
      }
    }
  });
});

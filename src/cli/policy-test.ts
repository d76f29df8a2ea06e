/** `wv policy test`: runs written cases against policy files, and says which policies no case needed. */
import { VaultError } from '../domain/errors.ts';
import { type CaseResult, type Expected, runCase, undecisive } from '../policy/cases.ts';
import { print } from './output.ts';
import { count } from './policy-check.ts';
import { type CaseSuite, readPolicies, readSuites } from './policy-files.ts';

export interface TestOptions {
  readonly policies?: string;
  readonly requireCoverage?: boolean;
  readonly json?: boolean;
}

export interface SuiteResult {
  readonly suite: string;
  readonly results: readonly CaseResult[];
  /** Policies that determined no case. */
  readonly undecisive: readonly string[];
}

export async function test(folder: string, options: TestOptions): Promise<void> {
  const suites = await readSuites(folder, options.policies);
  const results: SuiteResult[] = [];
  for (const suite of suites) results.push(await runSuite(suite));
  const cases = results.flatMap((one) => one.results);
  const failed = cases.filter(({ passed }) => !passed).length;
  const silent = results.flatMap((one) => one.undecisive).length;
  const ok = failed === 0 && (silent === 0 || options.requireCoverage !== true);
  const coverage = silent === 0 ? 'every policy decided some case' : `${count(silent, 'policy', 'policies')} decided no case`;
  const verdict = `${ok ? 'Good' : 'Not good'}: ${cases.length - failed} of ${count(cases.length, 'case')} as expected, ${coverage}.`;
  print(options, { ok, cases: cases.length, failed, suites: results }, [...results.flatMap(shown), verdict]);
  if (!ok) throw new VaultError('policy_invalid', failed > 0 ? `${count(failed, 'case')} not as expected` : coverage);
}

/** Used by the tests of the starter policies too. */
export async function runSuite({ name, files, cases }: CaseSuite): Promise<SuiteResult> {
  const policies = await readPolicies(files);
  const results = cases.map((one) => runCase(one, policies));
  return { suite: name, results, undecisive: undecisive(policies, results) };
}

function shown({ suite, results, undecisive: silent }: SuiteResult): string[] {
  const lines = results.flatMap(({ name, passed, expected, got, determining }) => {
    if (passed) return [`  ok    ${name}: ${inWords(got, determining)}`];
    return [`  WRONG ${name}`, `          expected ${inWords(expected)}`, `          got      ${inWords(got, determining)}`];
  });
  const unused = silent.map((id) => `  never ${id} decided no case: add one that it permits or forbids`);
  return [suite, ...lines, ...unused, ''];
}

function inWords(answer: Expected, determining: readonly string[] = []): string {
  if (answer.decision === 'permit') return `permit by ${answer.determining.join(', ')}`;
  const named = determining.length === 0 || determining.every((id) => answer.detail.includes(id));
  return `deny ${answer.code}, ${answer.detail}${named ? '' : ` (${determining.join(', ')})`}`;
}

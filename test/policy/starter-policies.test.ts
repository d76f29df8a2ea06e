/** Runs policies/tests/*.json: each case is a request and the decision it must get, with the ids or the reason. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import type { Permit } from '../../src/domain/access.ts';
import type { ClassName } from '../../src/domain/classes.ts';
import { isRefusal, type Refusal } from '../../src/domain/evidence.ts';
import type { AdministratorId, Namespace } from '../../src/domain/ids.ts';
import type { AdminAction } from '../../src/policy/actions.ts';
import { type AdministrationContext, releaseRequest } from '../../src/policy/attributes.ts';
import { type AdministrationPermit, decideAdministration, decideRelease } from '../../src/policy/decide.ts';
import { evaluate } from '../../src/policy/evaluate.ts';
import { splitPolicies, validatePolicySet } from '../../src/policy/policy-set.ts';
import { attested, loaded, manifest, NOW, question, RELEASE, starter } from './support.ts';

type Expected =
  | { readonly decision: 'permit'; readonly determining: readonly string[] }
  | { readonly decision: 'deny'; readonly code: string; readonly detail: string };
interface ReleaseCase {
  readonly name: string;
  readonly requester: { readonly namespace: string; readonly name: string; readonly attributes: Readonly<Record<string, string>> };
  readonly version: { readonly namespace: string; readonly class: ClassName; readonly attributes: Readonly<Record<string, string>> };
  readonly evidence?: { readonly fresh?: boolean; readonly keyBound?: boolean; readonly hardware?: boolean; readonly tee?: boolean };
  readonly expect: Expected;
}
interface AdministrationCase {
  readonly name: string;
  readonly roles: readonly string[];
  readonly action: AdminAction;
  readonly namespace: string;
  readonly context?: Partial<AdministrationContext>;
  readonly expect: Expected;
}
interface Suite {
  readonly files: readonly string[];
  readonly cases: ReadonlyArray<ReleaseCase | AdministrationCase>;
}

const POLICIES = new URL('../../policies/', import.meta.url);
const suites = readdirSync(new URL('tests/', POLICIES)).filter((file) => file.endsWith('.json'));
const read = (file: string) => readFileSync(new URL(file, POLICIES), 'utf8');

describe.each(suites)('policies/tests/%s', (file) => {
  const suite = JSON.parse(read(`tests/${file}`)) as Suite; // ours; a wrong form fails the cases below
  const policies = starter(...suite.files);
  test.each(suite.cases.map((one) => [one.name, one] as const))('%s', (_name, one) => {
    expect(spoken('roles' in one ? administration(one, policies) : release(one, policies))).toEqual(one.expect);
  });

  test('every policy of these files determined some case, or guards what a class or the vault itself refuses first', () => {
    const named = JSON.stringify(suite.cases.map((one) => one.expect));
    const silent = Object.keys(policies).filter((id) => !named.includes(id));
    expect(silent).toEqual(file === 'releases.json' ? ['restricted-needs-hardware-evidence', 'critical-stays'] : []);
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

function release({ requester, version, evidence }: ReleaseCase, policies: Record<string, string>): Permit | Refusal {
  return decideRelease(
    question({
      attested: attested(requester, evidence),
      manifest: manifest(version),
      policySet: loaded(policies, version.namespace),
    }),
  );
}

function administration({ roles, action, namespace, context }: AdministrationCase, policies: Record<string, string>) {
  return decideAdministration({
    administrator: { administratorId: '019bc0de-0000-7000-8000-000000000009' as AdministratorId, name: 'ada', roles },
    action,
    namespace: namespace as Namespace,
    context: { mfa: 'totp', workstationBound: true, now: NOW, ...context },
    policySet: loaded(policies, 'system'),
  });
}

function spoken(answer: Permit | AdministrationPermit | Refusal): Expected {
  if (isRefusal(answer)) return { decision: 'deny', code: answer.code, detail: answer.detail };
  return { decision: 'permit', determining: answer.determining };
}

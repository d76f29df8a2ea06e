/** `wv policy check|test|who-can|show|diff`: what a policy author asks before and after a set is put in force. Cedar is loaded by the actions. */
import type { Command } from 'commander';
import { addAdminCommand, addCommand, attributeOption, classOption } from './command.ts';
import type { AdminOptions } from './kit.ts';
import type { CheckOptions } from './policy-check.ts';
import type { DiffOptions } from './policy-compare.ts';
import type { TestOptions } from './policy-test.ts';
import type { WhoCanOptions } from './policy-who-can.ts';

const AT = ['--at <time>', 'decide as of this time, e.g. 2026-03-01T12:00:00Z, instead of now'] as const;

export function registerPolicyTools(policy: Command): void {
  addCommand(policy, 'check [file...]', 'Check .cedar files as the vault will, and for what Cedar cannot see; needs no vault', [
    'wv policy check policies/internal.cedar policies/restricted.cedar',
    'wv policy check --strict --reference reference-values.json policies/restricted.cedar',
    'wv policy check --schema',
  ])
    .option('--schema', 'print the schema: every word a policy may use')
    .option('--reference <file>', 'reference values; warn of ids that policies name and this file does not have')
    .option('--strict', 'warnings count as errors')
    .action(async (files: string[], options: CheckOptions) => (await import('./policy-check.ts')).check(files, options));

  addCommand(policy, 'test [folder]', 'Run the cases of a folder of .json files (default: policies/tests) against policy files', [
    'wv policy test',
    'wv policy test --require-coverage --policies fleet/policies fleet/cases',
  ])
    .option('--policies <folder>', 'where the .cedar files are that the cases name (default: the folder above the cases)')
    .option('--require-coverage', 'fail when a policy decided no case')
    .action(async (folder: string | undefined, options: TestOptions) =>
      (await import('./policy-test.ts')).test(folder ?? 'policies/tests', options),
    );

  attributeOption(
    addCommand(
      policy,
      'who-can [action]',
      'Who can be released weights, or do an action; without an action, what each administrator may do',
      [
        'wv policy who-can release --kit kits/alice --namespace prod --class restricted',
        'wv policy who-can release --policies policies/restricted.cedar --requesters requesters.json',
        'wv policy who-can --kit kits/alice',
        'wv policy who-can setPolicy --policies policies/administrators.cedar --administrators administrators.json',
      ],
    )
      .option('--kit <folder>', "an administrator's kit: ask the vault for what is not given in files")
      .option('--namespace <name>', 'the namespace', 'default')
      .option('--policies <file...>', 'policy files to ask instead of the set in force')
      .option('--requesters <file>', 'JSON {"requesters": [{"name", "attributes"}]} instead of the enrolled ones')
      .option('--administrators <file>', 'JSON {"administrators": [{"name", "roles"}]} instead of the real ones')
      .addOption(classOption())
      .option(...AT),
  ).action(async (action: string | undefined, options: WhoCanOptions) => (await import('./policy-who-can.ts')).whoCan(action, options));

  addAdminCommand(policy, 'show', 'Show the policy set in force', [
    'wv policy show --kit kits/alice --namespace prod',
    'wv policy show --kit kits/alice --namespace system --text',
  ])
    .option('--text', 'print the policies themselves')
    .action(async (options: AdminOptions & { text?: boolean }) => (await import('./policy-compare.ts')).show(options));

  attributeOption(
    addAdminCommand(policy, 'diff <file...>', 'What these files would change: policies, and decisions about the enrolled requesters', [
      'wv policy diff --kit kits/alice --namespace prod policies/internal.cedar policies/restricted.cedar',
      'wv policy diff --kit kits/alice --namespace system policies/administrators.cedar',
    ]).option(...AT),
  ).action(async (files: string[], options: DiffOptions) => (await import('./policy-compare.ts')).diff(files, options));
}

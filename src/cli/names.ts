/** `wv promote`, `wv alias`, `wv class`, `wv destroy`: what changes about a model without a byte of it being rewritten. */
import type { Command } from 'commander';
import { asked, steppedUp } from './asked.ts';
import type { CodeOptions } from './code.ts';
import { addAdminCommand, addGroup } from './command.ts';
import { confirm, confirmOption } from './confirm.ts';
import { type AdminOptions, withKit } from './kit.ts';
import { print } from './output.ts';
import { callSteppedUp } from './step-up.ts';

export function registerAlias(program: Command): void {
  const alias = addGroup(program, 'alias', 'Names that move from version to version');
  addAdminCommand(alias, 'show <model> <alias>', 'Show the version that an alias names now', [
    'wv alias show --kit kits/alice minilm prod',
    'wv alias show --kit kits/alice --json minilm prod',
  ]).action((model: string, name: string, options: AdminOptions) =>
    withKit(options.kit, async (kit) => {
      const answer = await kit.call('GET', aliasPath(options, model, name));
      print(options, answer, [`${model}@${name} is ${String(answer['versionId'])}, counter ${String(answer['counter'])}.`]);
    }),
  );
  steppedUp(
    alias,
    'set <model> <alias> <version>',
    'Ask for an alias to name a promoted version; earlier versions are named again the same way',
    [
      'wv alias set --kit kits/alice minilm prod 01890000-0000-7000-8000-000000000000',
      'wv alias set --kit kits/alice --json minilm canary 01890000-0000-7000-8000-000000000000',
    ],
  ).action((model: string, name: string, versionId: string, options: AdminOptions & CodeOptions) =>
    withKit(options.kit, async (kit) =>
      asked(await callSteppedUp(kit, 'PUT', aliasPath(options, model, name), { versionId }, options), options),
    ),
  );
}

export function registerPromote(program: Command): void {
  steppedUp(program, 'promote <version>', 'Ask again for a quarantined version to be promoted; `wv publish` asks once by itself', [
    'wv promote --kit kits/alice 01890000-0000-7000-8000-000000000000',
    'wv promote --kit kits/alice --json 01890000-0000-7000-8000-000000000000',
  ]).action((versionId: string, options: AdminOptions & CodeOptions) =>
    withKit(options.kit, async (kit) => {
      const path = `${namespaceOf(options)}/versions/${encodeURIComponent(versionId)}/promote`;
      asked(await callSteppedUp(kit, 'POST', path, undefined, options), options);
    }),
  );
}

export function registerDestroy(program: Command): void {
  confirmOption(
    steppedUp(
      program,
      'destroy <version>',
      'Ask for a version of a model to be unreadable for ever, after the waiting period, or (--keep) not',
      [
        'wv destroy --kit kits/alice 01890000-0000-7000-8000-000000000000',
        'wv destroy --kit kits/alice --keep --json 01890000-0000-7000-8000-000000000000',
      ],
    ).option('--keep', 'take the decision back, while it waits'),
  ).action(async (versionId: string, options: AdminOptions & CodeOptions & { yes?: boolean; keep?: boolean }) => {
    if (options.keep !== true) await confirm(options, `Destroying version ${versionId}`, versionId);
    const path = `${namespaceOf(options)}/versions/${encodeURIComponent(versionId)}/${options.keep === true ? 'keep' : 'destroy'}`;
    await withKit(options.kit, async (kit) => asked(await callSteppedUp(kit, 'POST', path, undefined, options), options));
  });
}

export function registerClass(program: Command): void {
  const group = addGroup(program, 'class', 'What a release of a model demands');
  steppedUp(group, 'change <model> <class>', 'Ask for another class of a model and all its versions', [
    'wv class change --kit kits/alice minilm restricted',
    'wv class change --kit kits/alice --json minilm internal',
  ]).action((model: string, to: string, options: AdminOptions & CodeOptions) =>
    withKit(options.kit, async (kit) => {
      const path = `${namespaceOf(options)}/models/${encodeURIComponent(model)}/class`;
      asked(await callSteppedUp(kit, 'PUT', path, { class: to }, options), options);
    }),
  );
}

const namespaceOf = (options: AdminOptions) => `/v1/namespaces/${encodeURIComponent(options.namespace)}`;
const aliasPath = (options: AdminOptions, model: string, name: string) =>
  `${namespaceOf(options)}/models/${encodeURIComponent(model)}/aliases/${encodeURIComponent(name)}`;

/** `wv suspend`, `wv lockdown`, `wv stops`, `wv lift`: what stops releases, and what ends a stop. `wv block` is beside `wv enrol`. */
import type { Command } from 'commander';
import { z } from 'zod';
import { VaultError } from '../domain/errors.ts';
import { type CodeOptions, codeOptions } from './code.ts';
import { addAdminCommand } from './command.ts';
import { confirm, confirmOption } from './confirm.ts';
import { type AdminOptions, type Kit, namespacePath, withKit } from './kit.ts';
import { aligned, print } from './output.ts';
import { callSteppedUp } from './step-up.ts';

/** Never asks whether you are sure: it stops one thing, and may be in a hurry. */
export function registerSuspend(program: Command): void {
  addAdminCommand(program, 'suspend <model>', 'Stop a model, or one version: its streams are cut within 5 s, and it is not released', [
    'wv suspend --kit kits/bob minilm',
    'wv suspend --kit kits/bob --version 01890000-0000-7000-8000-000000000000 --json minilm',
  ])
    .option('--version <id>', 'only this version; without it every version there is and will be')
    .action((model: string, options: AdminOptions & { version?: string }) =>
      withKit(options.kit, async (kit) => {
        const body = options.version === undefined ? {} : { version: options.version };
        const answer = await kit.call('POST', `${namespacePath(options)}/models/${encodeURIComponent(model)}/suspend`, body);
        print(options, answer, [`${options.version ?? model} is suspended: stop ${String(answer['stopId'])}.`]);
      }),
    );
}

type LockdownOptions = AdminOptions & { readonly vault?: boolean; readonly yes?: boolean };

export function registerLockdown(program: Command): void {
  confirmOption(
    addAdminCommand(program, 'lockdown', 'Stop everything in a namespace, or in the whole vault: streams are cut within 5 s', [
      'wv lockdown --kit kits/bob --namespace research',
      'wv lockdown --kit kits/bob --vault --yes --json',
    ]).option('--vault', 'the whole vault, every namespace of it'),
  ).action((options: LockdownOptions, command: Command) => {
    const named = command.getOptionValueSource('namespace') === 'cli';
    if (options.vault === true && named) throw new VaultError('usage', 'give --namespace or --vault, not both');
    return withKit(options.kit, (kit) => lockDown(kit, options));
  });
}

export function registerStops(program: Command): void {
  addAdminCommand(program, 'stops', 'Show what is stopped in a namespace, and what was', [
    'wv stops --kit kits/bob',
    'wv stops --kit kits/bob --namespace research --json',
  ]).action((options: AdminOptions) => withKit(options.kit, (kit) => list(kit, options)));
}

export function registerLift(program: Command): void {
  codeOptions(
    addAdminCommand(program, 'lift <stop>', 'Ask for a stop to be lifted; another administrator must consent', [
      'wv lift --kit kits/bob 01890000-0000-7000-8000-000000000000',
      'wv lift --kit kits/bob --namespace system --json 01890000-0000-7000-8000-000000000000',
    ]),
  ).action((stop: string, options: AdminOptions & CodeOptions) =>
    withKit(options.kit, async (kit) => {
      const path = `${namespacePath(options)}/stops/${encodeURIComponent(stop)}/lift`;
      const answer = await callSteppedUp(kit, 'POST', path, undefined, options);
      const [request, digest] = [String(answer['requestId']), String(answer['operationDigest'])];
      const inSystem = options.namespace === 'system' ? ' --namespace system' : '';
      print(options, answer, [`Waits for another administrator: wv approve${inSystem} ${request} ${digest}`]);
    }),
  );
}

async function lockDown(kit: Kit, options: LockdownOptions): Promise<void> {
  const name = options.vault === true ? 'vault' : options.namespace;
  await confirm(
    options,
    `A lockdown of ${options.vault === true ? 'the whole vault' : name} takes two people to lift: by you alone it`,
    name,
  );
  const path = options.vault === true ? '/v1/lockdown' : `${namespacePath(options)}/lockdown`;
  const answer = await kit.call('POST', path);
  const what = options.vault === true || name === 'system' ? 'The whole vault' : `The namespace ${name}`;
  print(options, answer, [`${what} is in lockdown: stop ${String(answer['stopId'])}.`]);
}

const stopsAnswer = z.object({
  stops: z.array(
    z.object({
      stopId: z.string(),
      kind: z.string(),
      scope: z.string(),
      name: z.string().optional(),
      target: z.string().optional(),
      state: z.string(),
      createdAt: z.string(),
    }),
  ),
});

async function list(kit: Kit, options: AdminOptions): Promise<void> {
  const answer = await kit.call('GET', `${namespacePath(options)}/stops`);
  const rows = stopsAnswer.parse(answer).stops.map((stop) => {
    const what = [stop.name, stop.scope === 'version' || stop.name === undefined ? stop.target : undefined].filter(Boolean).join(' ');
    return [stop.stopId, stop.kind, `${stop.scope} ${what}`.trimEnd(), stop.state, stop.createdAt];
  });
  print(options, answer, rows.length === 0 ? ['Nothing was ever stopped.'] : aligned(['STOP', 'KIND', 'OF', 'STATE', 'SINCE'], rows));
}

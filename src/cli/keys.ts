/** `wv keys`, `wv promote`, `wv alias`, `wv class`: what changes under a model without a byte of it being rewritten. */
import type { Command } from 'commander';
import { z } from 'zod';
import { type CodeOptions, codeOptions } from './code.ts';
import { addAdminCommand, addCommand, addGroup } from './command.ts';
import { confirm, confirmOption } from './confirm.ts';
import { type AdminOptions, withKit } from './kit.ts';
import { aligned, print } from './output.ts';
import { callSteppedUp } from './step-up.ts';

/** A command whose act may take a fresh code. */
const steppedUp = (...command: Parameters<typeof addAdminCommand>) => codeOptions(addAdminCommand(...command));

const KEYS = '/v1/namespaces/system/keys';

interface EraseOptions {
  readonly config: string;
  readonly json?: boolean;
  readonly yes?: boolean;
}

export function registerKeys(program: Command): void {
  const keys = addGroup(program, 'keys', 'The key-encryption key (KEK) in the HSM, and what it wraps');
  addAdminCommand(keys, 'show', 'Show every version of the KEK, its state, and how much is wrapped under it', [
    'wv keys show --kit kits/alice',
    'wv keys show --kit kits/alice --json',
  ]).action((options: AdminOptions) => withKit(options.kit, async (kit) => show(await kit.call('GET', KEYS), options)));
  steppedUp(keys, 'rotate', 'Ask for the next version of the KEK; what is wrapped is rewrapped, no weight is rewritten', [
    'wv keys rotate --kit kits/alice',
    'wv keys rotate --kit kits/alice --json',
  ]).action((options: AdminOptions & CodeOptions) =>
    withKit(options.kit, async (kit) => asked(await callSteppedUp(kit, 'POST', `${KEYS}/rotate`, undefined, options), options)),
  );
  confirmOption(
    steppedUp(keys, 'destroy <version>', 'Ask for a deactivated version of the KEK to be destroyed; backups under it become unreadable', [
      'wv keys destroy --kit kits/alice 1',
      'wv keys destroy --kit kits/alice --yes --json 1',
    ]),
  ).action((version: string, options: AdminOptions & CodeOptions & { yes?: boolean }) =>
    withKit(options.kit, async (kit) => {
      await confirm(options, `Destroying version ${version} of the KEK`, version);
      const path = `${KEYS}/${encodeURIComponent(version)}/destroy`;
      asked(await callSteppedUp(kit, 'POST', path, undefined, options), options);
    }),
  );
  confirmOption(
    addCommand(keys, 'erase', 'Erase from the HSM the versions that two people decided to destroy; run beside the HSM', [
      'wv keys erase --config vault.json',
      'wv keys erase --config vault.json --yes --json',
    ]).requiredOption('--config <file>', 'vault.json of the vault'),
  ).action(erase);
}

async function erase(options: EraseOptions): Promise<void> {
  const { loadConfig } = await import('../config/config.ts');
  const { withCeremonyKeys } = await import('../compose.ts');
  const { createLogger } = await import('../telemetry/logger.ts');
  const { destroyKeys } = await import('../vault/destroy-keys.ts');
  const config = loadConfig(options.config);
  await confirm(options, 'Erasing keys from the HSM', 'erase');
  // The keeper of a vault that serves destroys nothing, and owns the socket. One that is no child of ours runs as `wv keeper --ceremony`.
  const socket = config.keeperSocket.replace(/(?:\.sock)?$/, '-erase.sock');
  const own = config.keeper.mode === 'child' ? { ...config, keeperSocket: socket } : config;
  const gone = await withCeremonyKeys(own, createLogger(), destroyKeys);
  const lines = gone.map(({ id, version }) => `${id} version ${version} is gone for good.`);
  print(options, { destroyed: gone }, lines.length === 0 ? ['Nothing was decided that is not done.'] : lines);
}

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

const keysAnswer = z.object({
  counter: z.number(),
  keks: z.array(z.object({ id: z.string(), version: z.number(), state: z.string(), wrapped: z.number() })),
  unreadable: z.number(),
});

function show(answer: unknown, options: AdminOptions): void {
  const { keks, unreadable } = keysAnswer.parse(answer);
  const rows = keks.map(({ id, version, state, wrapped }) => [id, String(version), state, String(wrapped)]);
  const warning = unreadable === 0 ? [] : [`${unreadable} wrapped keys cannot be read: their rows were altered.`];
  print(options, answer as object, [...aligned(['KEK', 'VERSION', 'STATE', 'WRAPPED'], rows), ...warning]);
}

function asked(answer: Record<string, unknown>, options: AdminOptions): void {
  const state = String(answer['state']);
  const [request, digest] = [String(answer['requestId']), String(answer['operationDigest'])];
  print(options, answer, [
    state === 'executed' ? `Done: request ${request}.` : `Waits for another administrator: wv approve ${request} ${digest}`,
  ]);
}

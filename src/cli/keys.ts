/** `wv keys`: key-encryption keys (KEK) in the HSM, what becomes of each version, and what is wrapped under it. */
import type { Command } from 'commander';
import { z } from 'zod';
import { VaultError } from '../domain/errors.ts';
import { CRYPTOPERIOD_DAYS, DESTRUCTION_WAIT_DAYS } from '../domain/key-state.ts';
import { asked, steppedUp } from './asked.ts';
import type { CodeOptions } from './code.ts';
import { addAdminCommand, addGroup, wholeNumber } from './command.ts';
import { confirm, confirmOption } from './confirm.ts';
import { registerCeremony } from './keys-ceremony.ts';
import { registerErase } from './keys-erase.ts';
import { registerRewrap } from './keys-rewrap.ts';
import { listRings, showRing } from './keys-shown.ts';
import { registerSigning } from './keys-signing.ts';
import { type AdminOptions, namespacePath, withKit } from './kit.ts';
import { print } from './output.ts';
import { callSteppedUp } from './step-up.ts';

const OF = { namespace: ['whose KEK: a namespace, or the vault', 'system'] } as const;
const OF_ALL = { namespace: ['always all of them', 'system'] } as const;
const MOST_VERSION = 2 ** 31;

type KeyOptions = AdminOptions & CodeOptions & { readonly yes?: boolean };

export function registerKeys(program: Command): void {
  const keys = addGroup(program, 'keys', 'Key-encryption keys (KEK) in the HSM, and what they wrap');
  registerSeen(keys);
  registerRings(keys);
  registerMigrate(keys);
  registerStops(keys);
  registerEnds(keys);
  registerRewrap(keys);
  registerErase(keys);
  registerSigning(keys);
  registerCeremony(keys);
}

function registerSeen(keys: Command): void {
  addAdminCommand(
    keys,
    'ls',
    'Show every KEK of the vault and of namespaces, when each is due, and how far the rewrap is',
    ['wv keys ls --kit kits/alice', 'wv keys ls --kit kits/alice --json'],
    OF_ALL,
  ).action((options: AdminOptions) => withKit(options.kit, async (kit) => listRings(await kit.call('GET', '/v1/keys'), options)));
  addAdminCommand(
    keys,
    'show',
    'Show every version of one KEK: its state, its dates, and how much is wrapped under it',
    ['wv keys show --kit kits/alice', 'wv keys show --kit kits/alice --namespace prod --json'],
    OF,
  ).action((options: AdminOptions) => withKit(options.kit, async (kit) => showRing(await kit.call('GET', path(options)), options)));
}

function registerRings(keys: Command): void {
  steppedUp(
    keys,
    'create',
    "Ask for the next version of a KEK to be made, or for the first of a namespace's own; it wraps nothing before `wv keys rotate`",
    ['wv keys create --kit kits/carol --namespace prod', 'wv keys create --kit kits/carol --json'],
    OF,
  ).action((options: KeyOptions) => ask('POST', `${path(options)}/create`, undefined, options));
  steppedUp(
    keys,
    'rotate',
    'Ask for the next version of a KEK to be the active one; what is wrapped is rewrapped, no weight is rewritten',
    ['wv keys rotate --kit kits/alice', 'wv keys rotate --kit kits/alice --namespace prod --json'],
    OF,
  ).action((options: KeyOptions) => ask('POST', `${path(options)}/rotate`, undefined, options));
  steppedUp(
    keys,
    'periods',
    'Ask for another cryptoperiod of a KEK, or another waiting period before a version of it is destroyed',
    [
      'wv keys periods --kit kits/carol --cryptoperiod-days 180',
      'wv keys periods --kit kits/carol --namespace prod --destruction-wait-days 30 --json',
    ],
    OF,
  )
    .option('--cryptoperiod-days <n>', 'days after which a version should be rotated, 1 to 730', daysOf(CRYPTOPERIOD_DAYS))
    .option(
      '--destruction-wait-days <n>',
      'days between the decision to destroy and the first moment it may be done, 1 to 365',
      daysOf(DESTRUCTION_WAIT_DAYS),
    )
    .action(async (options: KeyOptions & { cryptoperiodDays?: number; destructionWaitDays?: number }) => {
      const { cryptoperiodDays, destructionWaitDays } = options;
      if (cryptoperiodDays === undefined && destructionWaitDays === undefined)
        throw new VaultError('usage', 'give --cryptoperiod-days, --destruction-wait-days or both');
      await ask('PUT', `${path(options)}/periods`, { cryptoperiodDays, destructionWaitDays }, options);
    });
}

const movedRings = z.object({
  rings: z.array(z.object({ namespace: z.string(), keks: z.array(z.looseObject({ ringState: z.string() })) })),
});

/** New versions are made where the keeper makes keys now; the rewrap takes everything there. */
function registerMigrate(keys: Command): void {
  steppedUp(
    keys,
    'migrate',
    'Ask for a next version of every KEK: with a keeper that also reaches the former HSM, the rewrap moves all of it into the new one (docs/operating.md)',
    ['wv keys migrate --kit kits/carol', 'wv keys migrate --kit kits/carol --json'],
    OF_ALL,
  ).action((options: KeyOptions) =>
    withKit(options.kit, async (kit) => {
      const { rings } = movedRings.parse(await kit.call('GET', '/v1/keys'));
      const requests = [];
      for (const { namespace } of rings.filter(({ keks }) => keks.some(({ ringState }) => ringState === 'active'))) {
        const answer = await callSteppedUp(kit, 'POST', `${path({ ...options, namespace })}/rotate`, undefined, options);
        requests.push({ namespace, requestId: String(answer['requestId']), operationDigest: String(answer['operationDigest']) });
      }
      const lines = requests.map(
        ({ namespace, requestId, operationDigest }) => `wv approve --namespace ${namespace} ${requestId} ${operationDigest}`,
      );
      print(options, { requests }, ['Each waits for another administrator:', ...lines]);
    }),
  );
}

function registerStops(keys: Command): void {
  ofVersion(
    addAdminCommand(
      keys,
      'suspend <version>',
      'Stop a version of a KEK at once: streams under it are cut within 5 s, nothing is released or wrapped under it. One person',
      ['wv keys suspend --kit kits/bob 2', 'wv keys suspend --kit kits/bob --namespace prod --json 1'],
      OF,
    ),
  ).action((version: number, options: AdminOptions) =>
    withKit(options.kit, async (kit) => {
      const answer = await kit.call('POST', `${versionPath(options, version)}/suspend`);
      print(options, answer, [`Version ${version} is suspended: stop ${String(answer['stopId'])}.`]);
    }),
  );
  ofVersion(
    steppedUp(
      keys,
      'resume <version>',
      'Ask for a suspension to be lifted; another administrator must consent',
      ['wv keys resume --kit kits/bob 2', 'wv keys resume --kit kits/bob --namespace prod --json 1'],
      OF,
    ),
  ).action((version: number, options: KeyOptions) => ask('POST', `${versionPath(options, version)}/resume`, undefined, options));
}

function registerEnds(keys: Command): void {
  ofVersion(
    steppedUp(
      keys,
      'compromised <version>',
      'Ask for a version to be called compromised: it wraps nothing more, and nothing is sealed under it. Rotate next',
      ['wv keys compromised --kit kits/carol 2', 'wv keys compromised --kit kits/carol --namespace prod --json 1'],
      OF,
    ),
  ).action((version: number, options: KeyOptions) => ask('POST', `${versionPath(options, version)}/compromised`, undefined, options));
  confirmOption(
    ofVersion(
      steppedUp(
        keys,
        'destroy <version>',
        'Ask for an unused version to be destroyed after the waiting period; backups under it become unreadable',
        ['wv keys destroy --kit kits/alice 1', 'wv keys destroy --kit kits/alice --yes --json 1'],
        OF,
      ),
    ),
  ).action(async (version: number, options: KeyOptions) => {
    await confirm(options, `Destroying version ${version} of the KEK`, String(version));
    await ask('POST', `${versionPath(options, version)}/destroy`, undefined, options);
  });
  ofVersion(
    steppedUp(
      keys,
      'keep <version>',
      'Ask for the decision to destroy a version to be taken back, while it waits',
      ['wv keys keep --kit kits/alice 1', 'wv keys keep --kit kits/alice --namespace prod --json 1'],
      OF,
    ),
  ).action((version: number, options: KeyOptions) => ask('POST', `${versionPath(options, version)}/keep`, undefined, options));
}

const path = (options: AdminOptions) => `${namespacePath(options)}/keys`;
const versionPath = (options: AdminOptions, version: number) => `${path(options)}/${version}`;

const daysOf = ({ least, most }: { readonly least: number; readonly most: number }) => wholeNumber(least, most);

/** Its one argument is a version of a KEK. */
function ofVersion(command: Command): Command {
  command.registeredArguments[0]?.argParser(wholeNumber(1, MOST_VERSION));
  return command;
}

function ask(method: 'POST' | 'PUT', to: string, body: unknown, options: KeyOptions): Promise<void> {
  return withKit(options.kit, async (kit) => asked(await callSteppedUp(kit, method, to, body, options), options));
}

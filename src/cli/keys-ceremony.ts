/** `wv keys ceremony`: an offline recovery key, its shares on paper, and a vault whose HSM is lost brought back with them. */
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { VaultError } from '../domain/errors.ts';
import { asked, steppedUp } from './asked.ts';
import type { CodeOptions } from './code.ts';
import { addAdminCommand, addCommand, addGroup, wholeNumber } from './command.ts';
import { confirm, confirmOption } from './confirm.ts';
import { readUserFile, readUserJson } from './files.ts';
import { type AdminOptions, withKit } from './kit.ts';
import { withSettings } from './next-settings.ts';
import { print } from './output.ts';
import { callSteppedUp } from './step-up.ts';

const RECOVERY = '/v1/keys/recovery';
const OF_THE_VAULT = { namespace: ['always the vault', 'system'] } as const;

/** The public part, which the vault is given. */
const publicFile = z.strictObject({
  v: z.literal(1),
  keyId: z.string(),
  publicKey: z.base64(),
  shares: z.int(),
  needed: z.int(),
});

export function registerCeremony(keys: Command): void {
  const ceremony = addGroup(keys, 'ceremony', 'The offline recovery key: for the day the HSM is lost');
  addCommand(
    ceremony,
    'make <folder>',
    'Make a recovery key on a machine that is never online, print its shares, and keep only the public part',
    ['wv keys ceremony make --shares 5 --needed 3 recovery', 'wv keys ceremony make --shares 3 --needed 2 --json recovery'],
  )
    .requiredOption('--shares <n>', 'how many shares, 2 to 16', wholeNumber(2, 16))
    .requiredOption('--needed <n>', 'how many of them recover', wholeNumber(2, 16))
    .action(make);
  addCommand(ceremony, 'check <share...>', 'Check that these shares still give the recovery key back; nothing is written', [
    'wv keys ceremony check recovery/share-1.txt recovery/share-2.txt recovery/share-4.txt',
    'wv keys ceremony check --json s1.txt s2.txt s3.txt',
  ]).action(check);
  addAdminCommand(
    ceremony,
    'status',
    'Show the recovery key in force, and how many versions are wrapped for it',
    ['wv keys ceremony status --kit kits/carol', 'wv keys ceremony status --kit kits/carol --json'],
    OF_THE_VAULT,
  ).action(status);
  steppedUp(
    ceremony,
    'set <file>',
    'Ask for a recovery key to be in force: every data key is wrapped for it too',
    ['wv keys ceremony set --kit kits/carol recovery/recovery-key.json', 'wv keys ceremony set --kit kits/carol --json recovery-key.json'],
    OF_THE_VAULT,
  ).action(set);
  steppedUp(
    ceremony,
    'withdraw',
    'Ask for the recovery key to be withdrawn; its wraps are deleted, backups keep theirs',
    ['wv keys ceremony withdraw --kit kits/carol', 'wv keys ceremony withdraw --kit kits/carol --json'],
    OF_THE_VAULT,
  ).action((options: AdminOptions & CodeOptions) =>
    withKit(options.kit, async (kit) => asked(await callSteppedUp(kit, 'DELETE', RECOVERY, undefined, options), options)),
  );
  confirmOption(
    addCommand(
      ceremony,
      'restore <share...>',
      'The HSM is lost: bring the vault back with new keys in a new HSM; run beside it, with the vault stopped',
      [
        'wv keys ceremony restore --config vault/vault.json --token new-token.json s1.txt s2.txt s4.txt',
        'wv keys ceremony restore --config vault/vault.json --token new-token.json --yes --json s1.txt s2.txt s4.txt',
      ],
    )
      .requiredOption('--config <file>', 'vault.json of the vault; its database is there, or restored by `wv restore`')
      .requiredOption('--token <file>', 'token.json of the new HSM, as for `wv init`'),
  ).action(restore);
}

interface MakeOptions {
  readonly shares: number;
  readonly needed: number;
  readonly json?: boolean;
}

async function make(folder: string, options: MakeOptions): Promise<void> {
  const { newRecoveryKey } = await import('../keys/recovery-wrap.ts');
  const { splitSeed } = await import('../keys/recovery-shares.ts');
  const counts = { of: options.shares, needed: options.needed };
  const made = await newRecoveryKey();
  using seed = made.seed;
  const { keyId, publicKey } = made;
  const shares = await splitSeed(seed, keyId, counts);
  const names = shares.map((_, at) => `share-${at + 1}.txt`);
  const kept = { v: 1, keyId, publicKey: Buffer.from(publicKey).toString('base64'), shares: counts.of, needed: counts.needed };
  await writeAll(folder, [
    ['recovery-key.json', `${JSON.stringify(kept, undefined, 2)}\n`, 0o644],
    ...shares.map((text, at) => [names[at] ?? '', text, 0o400] as const),
  ]);
  print(options, { keyId, folder, publicKey: 'recovery-key.json', shares: names }, [
    `Recovery key ${keyId}: ${counts.needed} of ${counts.of} shares recover.`,
    `Print each ${join(folder, 'share-*.txt')}, give it to one person, check them (wv keys ceremony check), then destroy the files.`,
    `Then, from a workstation: wv keys ceremony set ${join(folder, 'recovery-key.json')}`,
  ]);
}

/** All of them or none, and over nothing that is there. */
async function writeAll(folder: string, files: ReadonlyArray<readonly [name: string, text: string, mode: number]>): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const written: string[] = [];
  try {
    for (const [name, text, mode] of files) {
      const file = await open(join(folder, name), 'wx', mode);
      written.push(join(folder, name));
      await file.writeFile(text).finally(() => file.close());
    }
  } catch (cause) {
    for (const path of written) await rm(path, { force: true });
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause; // of node's file system
    throw new VaultError('usage', `${folder} has files of a recovery key: give another folder`);
  }
}

async function check(files: readonly string[], options: { readonly json?: boolean }): Promise<void> {
  const { combineShares } = await import('../keys/recovery-shares.ts');
  const shares = await readShares(files);
  using _ = await combineShares(shares);
  const [{ keyId, needed, of } = { keyId: '', needed: 0, of: 0 }] = shares;
  print(options, { keyId, needed, of, good: true }, [`Good: these shares recover key ${keyId} (${needed} of ${of} needed).`]);
}

async function readShares(files: readonly string[]) {
  const { parseShare } = await import('../keys/recovery-shares.ts');
  return Promise.all(files.map(async (file) => parseShare((await readUserFile(file)).toString('utf8'))));
}

async function status(options: AdminOptions): Promise<void> {
  await withKit(options.kit, async (kit) => {
    const { recovery } = await kit.call('GET', RECOVERY);
    if (recovery === undefined) return print(options, { none: true }, ['There is no recovery key: a lost HSM is a lost vault.']);
    const seen = z.looseObject({
      keyId: z.string(),
      state: z.string(),
      wrapped: z.number(),
      versions: z.number(),
      needed: z.number(),
      shares: z.number(),
    });
    const { keyId, state, wrapped, versions, needed, shares } = seen.parse(recovery);
    print(options, recovery as object, [
      `Recovery key ${keyId} is ${state}: ${needed} of ${shares} shares, ${wrapped} of ${versions} versions.`,
    ]);
  });
}

async function set(file: string, options: AdminOptions & CodeOptions): Promise<void> {
  const { v: _, ...key } = await readUserJson(file, publicFile);
  await withKit(options.kit, async (kit) => asked(await callSteppedUp(kit, 'PUT', RECOVERY, key, options), options));
}

interface RestoreOptions {
  readonly config: string;
  readonly token: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

async function restore(files: readonly string[], options: RestoreOptions): Promise<void> {
  const { loadConfig } = await import('../config/config.ts');
  const { tokenFile } = await import('./init.ts');
  const { finishRecovery, recoverVault } = await import('../compose-recovery.ts');
  const { createLogger } = await import('../telemetry/logger.ts');
  const { formatVkey } = await import('../audit/vkey.ts');
  const shares = await readShares(files);
  await confirm(options, 'Recovering a vault into another HSM', 'recover');
  const folder = dirname(resolve(options.config));
  const { conf, pinFile, ...token } = await readUserJson(options.token, tokenFile);
  const inside = (path: string) => relative(folder, resolve(path));
  const named = { ...token, ...(pinFile && { pinFile: inside(pinFile) }), ...(conf && { softhsmConf: inside(conf) }) };
  const settings = { token: named, kms: undefined, formerKeeper: undefined }; // undefined: no longer there
  const next = await withSettings(options.config, settings, 'recovering');
  const config = loadConfig(next);
  const recovered = await recoverVault(config, shares, createLogger('error'));
  const { vaultDocument, lost, people, recovered: count, logKey } = recovered;
  const file = await withSettings(options.config, { ...settings, vaultDocument }, 'recovering');
  await finishRecovery(config, recovered);
  await rename(file, options.config);
  const vkey = formatVkey(logKey);
  print(options, { recovered: count, lost, people, vkey, vaultDocument }, [
    `${count} versions are recovered${lost.length === 0 ? '' : `, ${lost.length} are lost: ${lost.map(({ versionId }) => versionId).join(', ')}`}.`,
    `The access log goes on under a new key, to verify with: ${vkey}`,
    `Now serve, and within four hours each of ${people.join(', ')} runs: wv admin claim`,
  ]);
}

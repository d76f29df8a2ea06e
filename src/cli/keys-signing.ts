/** `wv keys rotate-signing`: other keys sign documents and the access log; in another HSM, so that the former one can be taken away. */
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import type { Command } from 'commander';
import { VaultError } from '../domain/errors.ts';
import { addCommand } from './command.ts';
import { confirm, confirmOption } from './confirm.ts';
import { keepBeside, nextFile, withSettings } from './next-settings.ts';
import { print } from './output.ts';

interface SigningOptions {
  readonly config: string;
  readonly former?: string;
  readonly yes?: boolean;
  readonly json?: boolean;
}

const WHY = 'signing';

export function registerSigning(keys: Command): void {
  confirmOption(
    addCommand(
      keys,
      'rotate-signing',
      'Replace the keys that sign documents and the access log, with the vault stopped, so that the vault can leave a former HSM (beside the HSM)',
      [
        'wv keys rotate-signing --config vault/vault.json',
        'wv keys rotate-signing --config vault/vault.json --former /run/former/keeper.sock --yes --json',
      ],
    )
      .requiredOption('--config <file>', 'vault.json of the vault')
      .option('--former <socket>', 'keeper of the HSM that has the keys until now; `formerKeeper` of vault.json when absent'),
  ).action(rotate);
}

async function rotate(options: SigningOptions): Promise<void> {
  const { loadConfig } = await import('../config/config.ts');
  const { finishSigning, rotateSigning } = await import('../compose-signing.ts');
  const { createLogger } = await import('../telemetry/logger.ts');
  const { formatVkey } = await import('../audit/vkey.ts');
  if (await completed(options)) return;
  const config = loadConfig(options.config);
  await confirm(options, 'Replacing the keys that sign', 'sign');
  if (options.former !== undefined && !existsSync(options.former)) throw new VaultError('usage', `there is no socket ${options.former}`);
  const former = options.former ?? (config.keeper.mode === 'child' ? config.keeper.formerKeeper : undefined);
  const rotated = await rotateSigning(config, former, createLogger('error'));
  const { vaultDocument, logKey, lastCheckpoint, left } = rotated;
  const handover = await keepBeside(`${options.config}.last-checkpoint`, lastCheckpoint);
  const file = await withSettings(options.config, { vaultDocument, formerKeeper: undefined }, WHY);
  await finishSigning(config, rotated);
  await rename(file, options.config);
  const vkey = formatVkey(logKey);
  print(options, { vaultDocument, vkey, lastCheckpoint: handover, left }, [
    `The access log goes on under a new key, to verify with: ${vkey}`,
    `The last checkpoint of the key before, whose last record names this one: ${handover}`,
    ...(former === undefined ? [] : ['Nothing the vault needs is in the former HSM any more.']),
    ...(left.length === 0
      ? []
      : [`Backups from before need what stays there: ${left.join(', ')}. Destroy it there when they need not be read any more.`]),
  ]);
}

/** Interrupted between the database and vault.json: the rest of it. */
async function completed(options: SigningOptions): Promise<boolean> {
  const file = nextFile(options.config, WHY);
  if (!existsSync(file)) return false;
  const { loadConfig } = await import('../config/config.ts');
  const { finishSigning, signingInPlace } = await import('../compose-signing.ts');
  const next = loadConfig(file);
  const checkpoint = await signingInPlace(next);
  if (checkpoint === undefined) {
    await rm(file); // the database is still the one from before: it begins anew
    return false;
  }
  await finishSigning(next, { checkpoint });
  await rename(file, options.config);
  print(options, { vaultDocument: next.vaultDocument, completed: true }, ['What was interrupted is complete: the new keys sign.']);
  return true;
}

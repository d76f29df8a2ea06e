/** `wv keys erase`: destroys in the HSM, beside it, what two people decided and whose waiting period is over. */
import type { Command } from 'commander';
import { addCommand } from './command.ts';
import { confirm, confirmOption } from './confirm.ts';
import { print } from './output.ts';

interface EraseOptions {
  readonly config: string;
  readonly json?: boolean;
  readonly yes?: boolean;
}

export function registerErase(keys: Command): void {
  confirmOption(
    addCommand(
      keys,
      'erase',
      'Erase from the HSM the versions that two people decided to destroy, once they have waited; run beside the HSM',
      ['wv keys erase --config vault.json', 'wv keys erase --config vault.json --yes --json'],
    ).requiredOption('--config <file>', 'vault.json of the vault'),
  ).action(erase);
}

async function erase(options: EraseOptions): Promise<void> {
  const { loadConfig } = await import('../config/config.ts');
  const { withCeremonyKeys } = await import('../compose.ts');
  const { createLogger } = await import('../telemetry/logger.ts');
  const { destroyKeys } = await import('../vault/destroy-keys.ts');
  const { destroyVersions } = await import('../vault/destroy-versions.ts');
  const config = loadConfig(options.config);
  await confirm(options, 'Erasing keys from the HSM', 'erase');
  // The keeper of a vault that serves destroys nothing, and owns the socket. One that is no child of ours runs as `wv keeper --ceremony`.
  const socket = config.keeperSocket.replace(/(?:\.sock)?$/, '-erase.sock');
  const own = config.keeper.mode === 'child' ? { ...config, keeperSocket: socket } : config;
  const { keys, versions } = await withCeremonyKeys(own, createLogger('error'), async (vault) => {
    const keys = await destroyKeys(vault);
    return { keys, versions: await destroyVersions(vault) };
  });
  const { gone, waiting } = keys;
  const lines = [
    ...gone.map(({ id, version }) => `${id} version ${version} is gone for good.`),
    ...waiting.map(({ id, version, destroyAfter }) => `${id} version ${version} waits until ${destroyAfter}.`),
    ...versions.destroyed.map(
      (versionId) => `Version ${versionId} is destroyed: no copy of the database opens it. The record says what remains.`,
    ),
    ...versions.pending.map(
      ({ versionId, keks }) => `Version ${versionId} is erased here; a backup opens it until ${keks.join(', ')} are destroyed.`,
    ),
    ...versions.waiting.map(({ versionId, destroyAfter }) => `Version ${versionId} waits until ${destroyAfter}.`),
  ];
  print(options, { destroyed: gone, waiting, versions }, lines.length === 0 ? ['Nothing was decided that is not done.'] : lines);
}

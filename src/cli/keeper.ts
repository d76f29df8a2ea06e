/**
 * `wv keeper`: the keeper by itself, as another user than the vault (docs/containers.md). The vault's side is `keeper.mode: external`.
 *
 * This process only watches: the PKCS#11 library and the PIN are in its child. A refused PIN is tried once; then the keeper stays and
 * answers `pin_incorrect`, because one that ended would be started again, and each start is a login that brings the token nearer to locking.
 */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { VaultError } from '../domain/errors.ts';
import { createKeeperClient } from '../keys/keeper/client.ts';
import { parseKeeperFile } from '../keys/keeper/config.ts';
import { awsEnvironment, pkcs11Environment } from '../keys/keeper/environment.ts';
import { type KeeperEvent, startKeeper } from '../keys/keeper/supervisor.ts';
import { addCommand } from './command.ts';
import { print } from './output.ts';

const FILE_BYTES = 65_536;
const STAY_MS = 60_000;
const QUIET: ReadonlySet<KeeperEvent['event']> = new Set(['started', 'login', 'connected', 'ready']);

interface Options {
  readonly config: string;
  readonly ceremony?: boolean;
  readonly ready?: boolean;
  readonly json?: boolean;
}

export function registerKeeper(program: Command): void {
  addCommand(program, 'keeper', 'Hold the HSM for a vault that runs as another user; ends in order on SIGTERM or SIGINT', [
    'wv keeper --config /keys/keeper.json',
    'wv keeper --config /keys/keeper.json --ready',
  ])
    .requiredOption(
      '--config <file>',
      'keeper.json: {module, tokenLabel, tokenSerial, pinFile, socket, ...} or {provider: aws-kms, ...} (docs/configuration.md)',
    )
    .option('--ceremony', 'may make and destroy keys: for `wv keys erase` and a restore that loses records, then start it again without')
    .option('--ready', 'ask the running keeper whether it can serve, and end: 0 it can, 3 it never will, 4 not now')
    .action((options: Options) => (options.ready === true ? askReady(options) : run(options)));
}

async function run(options: Options): Promise<void> {
  const { config, softhsmConf } = readKeeperFile(options.config);
  const { createLogger } = await import('../telemetry/logger.ts');
  const log = createLogger();
  const signalled = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
  const keeper = await startKeeper({
    ...config,
    ceremony: options.ceremony === true,
    env: config.provider === 'aws-kms' ? awsEnvironment() : pkcs11Environment(softhsmConf),
    onEvent: ({ event, detail, code }) => {
      if (QUIET.has(event)) log.info('keeper', { event, detail, code });
      else log.warn('keeper', { event, detail, code });
    },
  });
  const staying = setInterval(() => {}, STAY_MS); // also when the keeper is gone for good: to end would be to be started again
  try {
    const { ok, code } = await health(config.socket);
    print(options, { serving: true, ok, ...(code !== undefined && { code }), pid: process.pid }, [
      ok ? `Serving on ${config.socket}.` : `Serving on ${config.socket}, but the token does not answer as it should: ${code}.`,
    ]);
    await signalled;
  } finally {
    clearInterval(staying);
    await keeper.stop();
  }
}

async function askReady(options: Options): Promise<void> {
  const { ok, code } = await health(readKeeperFile(options.config).config.socket);
  if (!ok) throw new VaultError(code ?? 'hsm_unavailable', 'the keeper is not ready');
  print(options, { ready: true }, ['Ready.']);
}

async function health(socket: string) {
  const client = createKeeperClient({ socket });
  try {
    return await client.health();
  } finally {
    await client.close();
  }
}

/** Whoever writes this file says which library is loaded beside the PIN, so nobody else may write it. */
function readKeeperFile(file: string): ReturnType<typeof parseKeeperFile> {
  const fd = opened(file);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.size > FILE_BYTES) throw new VaultError('configuration_invalid', 'keeper.json is not a small file');
    if ((stat.mode & 0o022) !== 0) throw new VaultError('configuration_invalid', 'keeper.json is writable for group or others: chmod 600');
    if (stat.uid !== 0 && stat.uid !== process.geteuid?.())
      throw new VaultError('configuration_invalid', 'keeper.json belongs to another user');
    return parseKeeperFile(readFileSync(fd, 'utf8'));
  } finally {
    closeSync(fd);
  }
}

function opened(file: string): number {
  try {
    return openSync(file, 'r');
  } catch (cause) {
    throw new VaultError('usage', `${file} cannot be read`, { cause });
  }
}

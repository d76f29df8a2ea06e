/**
 * The ceremony where vault and keeper are different users. Runs as the keeper's user, who makes the keys; the vault's user takes its part
 * over with settle.ts. So nobody needs root, no owner is ever changed, and the vault's user never sees token or PIN.
 *
 *   node deploy/container/first-start.ts --keys DIR --handover DIR --socket PATH [--socket-group GID] -- OPTIONS OF wv init
 *
 * DIR of --keys       token/ (a SoftHSM token, unless token.json is there already and names another, or kms.json names AWS KMS), token.json,
 *                     keeper.json
 * DIR of --handover   vault/, readable for the group of the folder until settle.ts has taken it
 */
import { spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { setupDevelopmentToken } from '../../softhsm/setup.ts';

const WV = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

interface Token {
  readonly module: string;
  readonly label: string;
  readonly serial?: string;
  readonly pinFile: string;
  readonly conf?: string;
}

const { values, positionals } = parseArgs({
  options: {
    keys: { type: 'string', default: '/keys' },
    handover: { type: 'string', default: '/handover' },
    socket: { type: 'string', default: '/run/keeper/keeper.sock' },
    'socket-group': { type: 'string' },
  },
  allowPositionals: true, // what follows `--`
});
const keys = resolve(values.keys);
const vault = join(resolve(values.handover), 'vault');
process.umask(0o077);

const kmsFile = join(keys, 'kms.json');
const provider = existsSync(kmsFile) ? ofKms() : ofToken(await tokenOf());
const exit = await runInit();
if (exit === 0) {
  writeKeeperFile();
  makeExternal();
  openForGroup(vault, statSync(values.handover).gid);
}
process.exitCode = exit;

interface Provider {
  /** How `wv init` is told of it. */
  readonly option: readonly string[];
  /** Its part of keeper.json. */
  readonly settings: object;
}

function ofKms(): Provider {
  const settings = JSON.parse(readFileSync(kmsFile, 'utf8')); // `wv init` checks its form
  return { option: ['--kms', kmsFile], settings: { provider: 'aws-kms', ...settings } };
}

/** The one that token.json names: written by hand for an HSM, or here for a new SoftHSM token. */
async function tokenOf(): Promise<Token> {
  const file = join(keys, 'token.json');
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')); // `wv init` checks its form
  const made = await setupDevelopmentToken({ folder: join(keys, 'token'), label: 'weight-vault' });
  writeFileSync(file, `${JSON.stringify(made, null, 2)}\n`, { mode: 0o600 });
  return made;
}

function ofToken({ module, label, serial, pinFile, conf }: Token): Provider {
  const settings = {
    module,
    tokenLabel: label,
    ...(serial !== undefined && { tokenSerial: serial }),
    pinFile,
    ...(conf !== undefined && { softhsmConf: conf }),
  };
  return { option: ['--token', join(keys, 'token.json')], settings };
}

function runInit(): Promise<number> {
  const args = [WV, 'init', '--folder', vault, ...provider.option, ...positionals];
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], { stdio: 'inherit' });
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('close', (code) => done(code ?? 1));
  });
}

function writeKeeperFile(): void {
  const group = values['socket-group'];
  const keeper = {
    ...provider.settings,
    socket: resolve(values.socket),
    ...(group !== undefined && { socketGroup: Number(group) }),
  };
  writeFileSync(join(keys, 'keeper.json'), `${JSON.stringify(keeper, null, 2)}\n`, { mode: 0o600 });
}

/** From here on the vault starts no keeper and knows of no token, and of no AWS. */
function makeExternal(): void {
  const file = join(vault, 'vault.json');
  const { token: _, kms: __, ...config } = JSON.parse(readFileSync(file, 'utf8'));
  const external = { ...config, keeper: { mode: 'external' }, keeperSocket: resolve(values.socket) };
  writeFileSync(file, `${JSON.stringify(external, null, 2)}\n`);
}

/** The group may read, and remove what it has taken. */
function openForGroup(path: string, group: number): void {
  const folder = statSync(path).isDirectory();
  chownSync(path, process.geteuid?.() ?? -1, group);
  chmodSync(path, folder ? 0o770 : 0o660);
  if (folder) for (const name of readdirSync(path)) openForGroup(join(path, name), group);
}

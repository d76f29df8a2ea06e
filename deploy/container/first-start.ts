/**
 * The ceremony where vault and keeper are different users. Runs as the keeper's user, who makes the keys; the vault's user takes its part
 * over with settle.ts. So nobody needs root, no owner is ever changed, and the vault's user never sees token or PIN.
 *
 *   node deploy/container/first-start.ts --keys DIR --handover DIR --socket PATH [--socket-group GID] -- OPTIONS OF wv init
 *
 * DIR of --keys       token/ (a SoftHSM token, unless token.json is there already and names another), token.json, keeper.json
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

const token = await tokenOf();
const exit = await runInit();
if (exit === 0) {
  writeKeeperFile(token);
  makeExternal();
  openForGroup(vault, statSync(values.handover).gid);
}
process.exitCode = exit;

/** The one that token.json names: written by hand for an HSM, or here for a new SoftHSM token. */
async function tokenOf(): Promise<Token> {
  const file = join(keys, 'token.json');
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')); // `wv init` checks its form
  const made = await setupDevelopmentToken({ folder: join(keys, 'token'), label: 'weight-vault' });
  writeFileSync(file, `${JSON.stringify(made, null, 2)}\n`, { mode: 0o600 });
  return made;
}

function runInit(): Promise<number> {
  const args = [WV, 'init', '--folder', vault, '--token', join(keys, 'token.json'), ...positionals];
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], { stdio: 'inherit' });
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('close', (code) => done(code ?? 1));
  });
}

function writeKeeperFile({ module, label, serial, pinFile, conf }: Token): void {
  const group = values['socket-group'];
  const keeper = {
    module,
    tokenLabel: label,
    ...(serial !== undefined && { tokenSerial: serial }),
    pinFile,
    socket: resolve(values.socket),
    ...(group !== undefined && { socketGroup: Number(group) }),
    ...(conf !== undefined && { softhsmConf: conf }),
  };
  writeFileSync(join(keys, 'keeper.json'), `${JSON.stringify(keeper, null, 2)}\n`, { mode: 0o600 });
}

/** From here on the vault starts no keeper and knows of no token. */
function makeExternal(): void {
  const file = join(vault, 'vault.json');
  const { token: _, ...config } = JSON.parse(readFileSync(file, 'utf8'));
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

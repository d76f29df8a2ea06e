// A development token in SoftHSM, in a folder of its own. The machine's own SoftHSM configuration is neither read nor written.
//
//   npx node softhsm/setup.ts FOLDER [LABEL]      prints {conf, module, label, serial, pinFile} as JSON
//
// FOLDER/softhsm2.conf      what SOFTHSM2_CONF must name in the environment of whoever uses the token
// FOLDER/tokens/            the key material, in files: a development token protects nothing from its owner
// FOLDER/LABEL.pin          the user PIN, mode 0600; LABEL.so-pin beside it is the security officer's
//
// No PIN is ever an argument of a process (softhsm2-util can only take them there, where `ps` shows them to everyone):
// init-token.ts reads them from its standard input and asks the module itself.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface DevelopmentToken {
  readonly conf: string;
  readonly module: string;
  readonly label: string;
  readonly serial: string;
  readonly pinFile: string;
}

const initToken = fileURLToPath(new URL('./init-token.ts', import.meta.url));
const labelShape = /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/; // CK_TOKEN_INFO.label has 32 bytes, and ours is a file name too
const modulePlaces = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/usr/lib64/softhsm/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
];

/** Makes the token, or throws: also when a token of that label is in the folder already. */
export async function setupDevelopmentToken(wanted: { folder: string; label: string }): Promise<DevelopmentToken> {
  const { label } = wanted;
  const folder = resolve(wanted.folder);
  if (!labelShape.test(label)) throw new Error(`token label ${JSON.stringify(label)} must match ${labelShape.source}`);
  const module = findSoftHsmModule();
  if (module === undefined) throw new Error('libsofthsm2.so is not on this machine: install the package softhsm2');
  const conf = await writeConfiguration(folder);
  const pin = newPin();
  const soPin = newPin();
  const pinFile = await writePin(join(folder, `${label}.pin`), pin, label);
  const soPinFile = await writePin(join(folder, `${label}.so-pin`), soPin, label);
  try {
    const { serial } = await runInitToken(conf, { module, label, pin, soPin });
    return { conf, module, label, serial, pinFile };
  } catch (cause) {
    await Promise.all([rm(pinFile, { force: true }), rm(soPinFile, { force: true })]);
    throw cause;
  }
}

export function findSoftHsmModule(): string | undefined {
  return modulePlaces.find((place) => existsSync(place));
}

async function writeConfiguration(folder: string): Promise<string> {
  const tokens = join(folder, 'tokens');
  await mkdir(tokens, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700); // mkdir leaves the mode of a folder that was there already
  await chmod(tokens, 0o700);
  const conf = join(folder, 'softhsm2.conf');
  const lines = [`directories.tokendir = ${tokens}`, 'objectstore.backend = file', 'log.level = ERROR', ''];
  await writeFile(conf, lines.join('\n'), { mode: 0o600 });
  return conf;
}

function newPin(): string {
  return randomBytes(18).toString('base64url');
}

async function writePin(file: string, pin: string, label: string): Promise<string> {
  try {
    await writeFile(file, pin, { mode: 0o600, flag: 'wx' });
    return file;
  } catch (cause) {
    throw new Error(`cannot make token ${label}: ${file} is there already, or cannot be written`, { cause });
  }
}

/** SoftHSM reads SOFTHSM2_CONF from the environment of the process, so the token is made in a process of its own. */
function runInitToken(conf: string, order: object): Promise<{ serial: string }> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', initToken], {
      env: { ...process.env, SOFTHSM2_CONF: conf },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (piece) => (out += piece));
    child.stderr.on('data', (piece) => (err += piece));
    child.on('error', fail);
    child.stdin.on('error', () => {}); // the child ended early: its exit code below tells why
    child.on('close', (code) =>
      code === 0 ? done(JSON.parse(out)) : fail(new Error(`SoftHSM token not made: ${err.trim() || `exit ${code}`}`)),
    );
    child.stdin.end(JSON.stringify(order));
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, label = 'weight-vault'] = process.argv.slice(2);
  if (folder === undefined) {
    console.error('usage: npx node softhsm/setup.ts FOLDER [LABEL]');
    process.exit(2);
  }
  try {
    console.log(JSON.stringify(await setupDevelopmentToken({ folder, label }), null, 2));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}

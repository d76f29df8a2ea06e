/** The tokens of the contract suite besides SoftHSM: NSS softokn, opencryptoki's soft token, a TPM through tpm2-pkcs11. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { initToken, writePin } from './make.ts';
import { startManagedTpm } from './managed-tpm.ts';
import { findLibrary, hasCommand, type TestToken, type TokenKind } from './token.ts';

const LABEL = 'wv-contract';
const newFolder = (name: string) => mkdtempSync(join(tmpdir(), `wv-${name}-`));
const clear = (folder: string) => rmSync(folder, { recursive: true, force: true });
const lacking = (needs: ReadonlyArray<readonly [what: string, there: boolean]>) => {
  const absent = needs.filter(([, there]) => !there).map(([what]) => what);
  return absent.length === 0 ? undefined : `${absent.join(', ')} not on this machine`;
};

const softokn = findLibrary('libsoftokn3.so', 'nss/libsoftokn3.so');

/** A database without a password: the token wants no login. `flags`: `readOnly` makes it write-protected. */
export const nss: TokenKind & { open(folder: string, flags?: string): TestToken } = {
  name: 'NSS softokn',
  missing: lacking([
    ['libsoftokn3.so', softokn !== undefined],
    ['certutil', hasCommand('certutil')],
  ]),
  async start() {
    const folder = newFolder('nss');
    mkdirSync(join(folder, 'database'));
    execFileSync('certutil', ['-N', '-d', `sql:${join(folder, 'database')}`, '--empty-password'], { stdio: 'ignore' });
    return nss.open(folder);
  },
  open(folder, flags = '') {
    const database = join(folder, 'database');
    const libraryParameters = `configdir='sql:${database}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=${flags}`;
    const settings = { module: softokn ?? '', tokenLabel: 'NSS Certificate DB', libraryParameters };
    const lose = async () => renameSync(database, `${database}.away`);
    const giveBack = async () => renameSync(`${database}.away`, database);
    return { settings, env: {}, folder, lose, giveBack, remove: async () => clear(folder) };
  },
};

const opencryptokiLibrary = findLibrary('pkcs11/libopencryptoki.so', 'opencryptoki/libopencryptoki.so');
const OPENCRYPTOKI = { label: LABEL, soPin: '76543210', pin: '65432101', firstSoPin: '87654321', model: 'IBM SoftTok' };
const SOFT_TOKEN = '/var/lib/opencryptoki/swtok';
/** Beside the token: a test made it, so the next test may remove it. */
const OURS = join(SOFT_TOKEN, 'MADE_BY_A_TEST');

/** One token for the whole machine, behind a daemon of root: only a blank one is used, or one that an earlier test left. */
export const opencryptoki: TokenKind = {
  name: 'opencryptoki soft token',
  missing: lacking([
    ['libopencryptoki.so', opencryptokiLibrary !== undefined],
    ['pkcsslotd', hasCommand('pkcsslotd')],
    ['root, for pkcsslotd,', process.geteuid?.() === 0],
    ['a pkcsslotd that is not in use', slotDaemons().length === 0],
    ['a soft token that is nobody’s', !existsSync(join(SOFT_TOKEN, 'NVTOK.DAT')) || existsSync(OURS)],
  ]),
  async start() {
    wipeSoftToken();
    startSlotDaemon();
    const folder = newFolder('opencryptoki');
    const remove = async () => {
      clear(folder);
      await endSlotDaemons('SIGTERM'); // there was none before ours
      wipeSoftToken();
    };
    try {
      writeFileSync(OURS, '');
      await initToken({ ...OPENCRYPTOKI, module: opencryptokiLibrary }, {});
    } catch (error) {
      await remove();
      throw error;
    }
    const pinFile = writePin(join(folder, 'pin'), OPENCRYPTOKI.pin);
    const lose = async () => endSlotDaemons('SIGKILL');
    const giveBack = async () => startSlotDaemon();
    return { settings: { module: opencryptokiLibrary ?? '', tokenLabel: LABEL, pinFile }, env: {}, folder, lose, giveBack, remove };
  },
};

function wipeSoftToken(): void {
  if (!existsSync(OURS)) return;
  for (const name of ['MK_SO', 'MK_USER', 'NVTOK.DAT', 'TOK_OBJ', 'MADE_BY_A_TEST']) clear(join(SOFT_TOKEN, name));
  mkdirSync(join(SOFT_TOKEN, 'TOK_OBJ'), { mode: 0o770 });
}

/** By hand, as the package's service would. */
function startSlotDaemon(): void {
  const { status, stderr } = spawnSync('/usr/sbin/pkcsslotd', { encoding: 'utf8', timeout: 20_000 });
  if (status !== 0) throw new Error(`pkcsslotd did not start: ${stderr}`);
}

async function endSlotDaemons(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  for (const pid of slotDaemons()) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // one that was on its way out is gone since it was listed
    }
  }
  if (signal === 'SIGKILL') while (slotDaemons().length > 0) await new Promise((resolve) => setTimeout(resolve, 20));
}

function slotDaemons(): number[] {
  const found = spawnSync('pgrep', ['-x', 'pkcsslotd'], { encoding: 'utf8' }).stdout ?? '';
  return found.split('\n').filter(Boolean).map(Number);
}

const tpm2Library = findLibrary('pkcs11/libtpm2_pkcs11.so', 'libtpm2_pkcs11.so', 'libtpm2_pkcs11.so.1');

/** RSA and P-256 in a TPM; no AES and no object for a self-test. Behind a resource manager, as the kernel's /dev/tpmrm0 would be. */
export const tpm2: TokenKind = {
  name: 'tpm2-pkcs11 on swtpm',
  missing: lacking([
    ['libtpm2_pkcs11.so', tpm2Library !== undefined],
    ...['swtpm', 'swtpm_setup', 'tpm2-abrmd', 'dbus-daemon'].map((name) => [name, hasCommand(name)] as const),
  ]),
  async start() {
    const managed = await startManagedTpm();
    const folder = newFolder('tpm2');
    const store = join(folder, 'store');
    mkdirSync(store, { mode: 0o700 });
    const env = { ...managed.env, TPM2_PKCS11_STORE: store };
    const remove = async () => {
      await managed.stop();
      clear(folder);
    };
    try {
      await initToken({ module: tpm2Library, label: LABEL, soPin: '76543210', pin: '65432101' }, env);
    } catch (error) {
      await remove();
      throw error;
    }
    const pinFile = writePin(join(folder, 'pin'), '65432101');
    const { lose, giveBack } = managed;
    return { settings: { module: tpm2Library ?? '', tokenLabel: LABEL, pinFile }, env, folder, lose, giveBack, remove };
  },
};

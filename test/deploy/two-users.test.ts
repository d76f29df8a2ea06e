/**
 * docker-compose.yml without containers: the same commands, from what the images hold, as the same two users without capabilities, in
 * the same folders. What is not shown here needs a container engine: docs/containers.md.
 */
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { KEEPER_UID, prepareImage, SOCKET_GID, VAULT_UID } from '../../deploy/container/prepare-image.ts';
import { LARGE, MODEL, type RealVault, startRealVault, until, wv } from '../e2e/real-vault.ts';
import { freePort } from '../harness/free-port.ts';
import { layImage } from './image.ts';
import { canChangeUser, type Ended, type Running, runAs, startAs, type User } from './users.ts';

const VAULT: User = { uid: VAULT_UID, groups: [SOCKET_GID] };
const KEEPER: User = { uid: KEEPER_UID, groups: [SOCKET_GID] };
const STRANGER: User = { uid: 10_009, groups: [] };

const root = mkdtempSync(join(tmpdir(), 'wv-users-'));
const at = (...parts: string[]) => join(root, ...parts);
const image = (target: 'vault' | 'keeper', ...parts: string[]) => at(`${target}-image`, ...parts);
const node = (target: 'vault' | 'keeper') => image(target, 'usr/local/bin/node');
const QUIET = '--disable-warning=ExperimentalWarning';
const wvOf = (target: 'vault' | 'keeper') => [QUIET, image(target, 'app/src/cli/main.ts')];
const running: Running[] = [];

/** The volumes: made as Docker makes them, with owner and mode of the image's folder. */
const volume = (name: string) => at('keeper-image', name);
const [keys, handover, socketFolder] = [volume('keys'), volume('handover'), volume('run/keeper')];
const vaultFolder = at('vault-image', 'vault');
const socket = join(socketFolder, 'keeper.sock');
const config = join(vaultFolder, 'vault.json');
const keeperFile = join(keys, 'keeper.json');

const asKeeper = (...args: string[]) => runAs(KEEPER, node('keeper'), ...args);
const asVault = (...args: string[]) => runAs(VAULT, node('vault'), ...args);
const ready = () => asVault(...wvOf('vault'), 'doctor', '--ready', '--config', config);
const keeperReady = () => asKeeper(...wvOf('keeper'), 'keeper', '--ready', '--config', keeperFile);

async function start(user: User, target: 'vault' | 'keeper', ...args: string[]): Promise<Running> {
  const one = startAs(user, node(target), ...wvOf(target), ...args, '--json');
  running.push(one);
  await one.firstLine;
  return one;
}
const startKeeper = (file = keeperFile) => start(KEEPER, 'keeper', 'keeper', '--config', file);
const startVault = (folder = vaultFolder, ...more: string[]) => start(VAULT, 'vault', 'serve', '--folder', folder, ...more);

async function end(one: Running, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
  one.process.kill(signal);
  return one.ended;
}

const code = ({ exit, err }: Ended) => `${exit} ${/^([a-z_]+): /m.exec(err)?.[1] ?? err}`;
const childrenOf = (pid: number) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/).filter(Boolean).map(Number);

/** The process that holds the token; 0 would be this whole test run. */
function holderOf(keeper: Running): number {
  const [holder] = childrenOf(keeper.pid);
  if (holder === undefined) throw new Error('the keeper has no child');
  return holder;
}

/** Every path the process has open or mapped. */
function openPaths(pid: number): string[] {
  const links = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return []; // closed meanwhile
    }
  });
  return [
    ...links,
    ...readFileSync(`/proc/${pid}/maps`, 'utf8')
      .split('\n')
      .map((line) => line.split(/\s+/)[5] ?? ''),
  ];
}

/** What reading, writing, listing a path says to that user. */
async function access(user: User, path: string): Promise<string> {
  const script =
    "try { const s = fs.statSync(process.argv[1]); s.isDirectory() ? fs.readdirSync(process.argv[1]) : fs.readFileSync(process.argv[1]); console.log('yes') } catch (e) { console.log(e.code) }";
  return (await runAs(user, node('vault'), '-e', script, path)).out.trim();
}

const withUsers = canChangeUser ? describe : describe.skip;

withUsers('vault and keeper as two users (needs root and setpriv)', () => {
  beforeAll(() => {
    chmodSync(root, 0o711);
    for (const target of ['vault', 'keeper'] as const) {
      mkdirSync(image(target));
      layImage(target, image(target));
      prepareImage(target, image(target));
    }
  });
  afterAll(async () => {
    for (const one of running) if (one.process.exitCode === null && one.process.signalCode === null) await end(one, 'SIGKILL');
    rmSync(root, { recursive: true, force: true });
  });

  describe('the first start', () => {
    test('the keeper makes token, keys and administrators; the vault takes its part over; no owner is changed', async () => {
      const ports = ['--data-port', String(await freePort()), '--admin-port', String(await freePort())];
      const people = ['--administrator', 'alice:publisher,approver,registrar', '--administrator', 'bob:approver,key-custodian,registrar'];
      const script = image('keeper', 'app/deploy/container/first-start.ts');
      const folders = ['--keys', keys, '--handover', handover, '--socket', socket, '--socket-group', String(SOCKET_GID)];
      const init = ['--host', '127.0.0.1', '--origin', 'vault.example/two-users/2026', ...people, ...ports];
      const made = await asKeeper(QUIET, script, ...folders, '--', ...init);
      expect([made.exit, made.err]).toEqual([0, expect.anything()]);
      expect(made.out).toContain('alice: scan this now');

      const settle = [QUIET, image('vault', 'app/deploy/container/settle.ts'), '--from', join(handover, 'vault'), '--to', vaultFolder];
      const settled = await asVault(...settle, '--head', at('vault-image', 'head', 'log-head'));
      expect([settled.exit, settled.err]).toEqual([0, '']);
      expect(readdirSync(handover)).toEqual([]);
      expect((await asVault(...settle)).err).toContain('there is a vault in');
    });

    test('each has its own files, for itself alone, and the vault knows of no token', () => {
      const below = (folder: string) => (readdirSync(folder, { recursive: true }) as string[]).map((name) => join(folder, name));
      const notOnlyOf = (user: User, path: string) => lstatSync(path).uid !== user.uid || (lstatSync(path).mode & 0o077) !== 0;
      expect(below(vaultFolder).filter((path) => notOnlyOf(VAULT, path))).toEqual([]);
      expect(below(keys).filter((path) => notOnlyOf(KEEPER, path))).toEqual([]);
      expect(below(keys).length).toBeGreaterThan(5);
      const file = JSON.parse(readFileSync(config, 'utf8'));
      expect(file).toMatchObject({ keeper: { mode: 'external' }, keeperSocket: socket });
      expect(file.token).toBeUndefined();
    });

    test('neither can enter what is the other’s, and a stranger nothing', async () => {
      const pin = JSON.parse(readFileSync(keeperFile, 'utf8')).pinFile as string;
      for (const path of [keys, keeperFile, pin, join(keys, 'token', 'tokens')]) {
        expect([path, await access(VAULT, path)]).toEqual([path, 'EACCES']);
        expect([path, await access(KEEPER, path)]).toEqual([path, 'yes']);
      }
      for (const path of [vaultFolder, config, join(vaultFolder, 'vault.db'), join(vaultFolder, 'tls', 'admin.key')]) {
        expect([path, await access(KEEPER, path)]).toEqual([path, 'EACCES']);
        expect([path, await access(VAULT, path)]).toEqual([path, 'yes']);
      }
      for (const path of [socketFolder, handover, keys, vaultFolder])
        expect([path, await access(STRANGER, path)]).toEqual([path, 'EACCES']);
    });
  });

  describe('serving', () => {
    let keeper: Running;
    let vault: Running;

    test('without a keeper the vault does not start, and says that it may later', async () => {
      expect(code(await asVault(...wvOf('vault'), 'serve', '--folder', vaultFolder))).toBe('4 keeper_unavailable');
      expect(code(await keeperReady())).toBe('4 keeper_unavailable');
    });

    test('with one it does; the socket is for the group, its folder the keeper’s', async () => {
      keeper = await startKeeper();
      expect(JSON.parse(await keeper.firstLine)).toMatchObject({ serving: true, ok: true });
      expect(await until(async () => (await keeperReady()).exit === 0)).toBe(true);
      const [door, folder] = [lstatSync(socket), statSync(socketFolder)];
      expect([door.mode & 0o777, door.uid, door.gid]).toEqual([0o660, KEEPER_UID, SOCKET_GID]);
      expect([folder.mode & 0o777, folder.uid, folder.gid]).toEqual([0o750, KEEPER_UID, SOCKET_GID]);
      vault = await startVault();
      expect(await until(async () => (await ready()).exit === 0)).toBe(true);
    });

    test('the vault process has no child, no PKCS#11 library, no capability, and nothing of the keeper open', () => {
      expect(childrenOf(vault.pid)).toEqual([]);
      const paths = openPaths(vault.pid);
      expect(paths.filter((path) => path.startsWith(keys) || /softhsm|pkcs11/.test(path))).toEqual([]);
      expect(paths.some((path) => path.startsWith(vaultFolder))).toBe(true);
      expect(existsSync(image('vault', 'app/node_modules/pkcs11js'))).toBe(false);
      const status = readFileSync(`/proc/${vault.pid}/status`, 'utf8');
      expect(status).toMatch(/^CapEff:\s+0+$/m);
      expect(status).toMatch(/^CapBnd:\s+0+$/m);
      expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
      const holder = childrenOf(keeper.pid);
      expect(holder).toHaveLength(1);
      expect(openPaths(holder[0] ?? 0).some((path) => /softhsm/.test(path))).toBe(true);
    });

    test('a stranger cannot open the socket, and whoever can makes no keys', async () => {
      const script =
        "require('node:net').connect(process.argv[1]).on('connect', () => { console.log('in'); process.exit() }).on('error', (e) => console.log(e.code))";
      expect((await runAs(STRANGER, node('vault'), '-e', script, socket)).out.trim()).toBe('EACCES');
      expect((await runAs(VAULT, node('vault'), '-e', script, socket)).out.trim()).toBe('in');
    });

    test('the keeper killed and started again: the vault says so meanwhile and goes on by itself', async () => {
      const holder = holderOf(keeper);
      process.kill(holder, 'SIGKILL'); // the watcher starts another
      expect(await until(async () => (await keeperReady()).exit === 0 && childrenOf(keeper.pid)[0] !== holder)).toBe(true);
      await end(keeper, 'SIGKILL');
      expect(await until(async () => (await ready()).exit === 4)).toBe(true);
      keeper = await startKeeper();
      expect(await until(async () => (await ready()).exit === 0)).toBe(true);
      expect(vault.process.exitCode).toBeNull();
    });

    test('the doctor, as the vault’s user, finds the keys apart and nothing critical', async () => {
      const { exit, out } = await asVault(...wvOf('vault'), 'doctor', '--config', config, '--json');
      const { findings } = JSON.parse(out) as { findings: Array<{ id: string; severity: string; seen: string }> };
      expect(findings.filter(({ severity }) => severity === 'critical')).toEqual([]);
      expect(exit).toBe(0);
      const of = (id: string) => findings.filter((one) => one.id === id).map(({ severity }) => severity);
      expect([of('keys_apart'), of('keeper'), of('run_as_root'), of('file_modes')]).toEqual([['ok'], ['ok'], ['ok'], ['ok']]);
      expect(of('software_keys')).toEqual(['unknown']);
    });

    test('both end on SIGTERM, and the socket is gone', async () => {
      expect(await end(vault)).toBe(0);
      expect(await end(keeper)).toBe(0);
      expect(existsSync(socket)).toBe(false);
    });
  });

  describe('a keeper that must not start, or must not try again', () => {
    const file = (change: object, mode = 0o600) => {
      const path = join(keys, 'changed.json');
      rmSync(path, { force: true });
      writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(keeperFile, 'utf8')), ...change }), { mode });
      chmodSync(path, mode);
      chownSync(path, KEEPER_UID, KEEPER_UID);
      return path;
    };
    const refused = async (path: string) => code(await asKeeper(...wvOf('keeper'), 'keeper', '--config', path));

    test('a wrong PIN is one login; then it stays, answers pin_incorrect, and is not started again when it dies', async () => {
      const pinFile = join(keys, 'wrong.pin');
      writeFileSync(pinFile, 'not-the-pin-4711', { mode: 0o600 });
      chownSync(pinFile, KEEPER_UID, KEEPER_UID);
      const keeper = await startKeeper(file({ pinFile }));
      expect(JSON.parse(await keeper.firstLine)).toMatchObject({ ok: false, code: 'pin_incorrect' });
      expect(code(await keeperReady())).toBe('3 pin_incorrect');
      expect(code(await asVault(...wvOf('vault'), 'serve', '--folder', vaultFolder))).toBe('3 pin_incorrect');
      process.kill(holderOf(keeper), 'SIGKILL');
      expect(await until(() => keeper.log.some((line) => line.includes('exited')))).toBe(true);
      await new Promise((done) => setTimeout(done, 1_500));
      expect([keeper.process.exitCode, childrenOf(keeper.pid)]).toEqual([null, []]);
      expect(keeper.log.filter((line) => line.includes('attempt'))).toHaveLength(1);
      expect(keeper.log.join('\n')).not.toContain('not-the-pin');
      expect(await end(keeper)).toBe(0);
    });

    test('its file is its own, and complete', async () => {
      expect(await refused(file({}, 0o660))).toBe('3 configuration_invalid');
      expect(await refused(file({ unheardOf: 1 }))).toBe('3 configuration_invalid');
      expect(await refused(file({ ceremony: true }))).toBe('3 configuration_invalid');
      expect(await refused(file({ softhsmConf: 'relative' }))).toBe('3 configuration_invalid');
      expect(await refused(join(keys, 'absent.json'))).toBe('2 usage');
    });

    test('the socket goes to one group it is a member of, in a folder closed to all others', async () => {
      expect(await refused(file({ socketGroup: 0 }))).toBe('3 configuration_invalid');
      expect(await refused(file({ socketGroup: 54_321 }))).toBe('3 configuration_invalid');
      chmodSync(socketFolder, 0o755);
      expect(await refused(keeperFile)).toBe('3 configuration_invalid');
      chmodSync(socketFolder, 0o770);
      expect(await refused(keeperFile)).toBe('3 configuration_invalid');
      chmodSync(socketFolder, 0o750);
    });
  });

  describe('a vault that was made with a child keeper moves to two users', () => {
    let real: RealVault;
    let machine: string;
    beforeAll(async () => {
      real = await startRealVault();
      machine = await real.enrolled('gpu-node-1');
      await real.promote();
      expect(await real.server.stop()).toBe(0);
    });
    afterAll(async () => real?.stop());

    test('and releases the same weights, also after its keeper was killed', async () => {
      const [moved, token] = [at('moved'), at('moved-token')];
      cpSync(real.folder, moved, { recursive: true });
      cpSync(real.tokenFolder, token, { recursive: true });
      const { token: was, ...rest } = JSON.parse(readFileSync(join(moved, 'vault.json'), 'utf8'));
      writeFileSync(join(moved, 'vault.json'), JSON.stringify({ ...rest, keeper: { mode: 'external' }, keeperSocket: socket }));
      writeFileSync(join(token, 'softhsm2.conf'), `directories.tokendir = ${join(token, 'tokens')}\nobjectstore.backend = file\n`, {
        mode: 0o600,
      });
      const pinFile = join(token, `${was.label}.pin`);
      const settings = { module: was.module, tokenLabel: was.label, tokenSerial: was.serial, pinFile, socket, socketGroup: SOCKET_GID };
      writeFileSync(join(token, 'keeper.json'), JSON.stringify({ ...settings, softhsmConf: join(token, 'softhsm2.conf') }), {
        mode: 0o600,
      });
      giveAll(moved, VAULT_UID);
      giveAll(token, KEEPER_UID);

      const fetched = async (out: string) => {
        const args = ['--requester', machine, '--model', MODEL, '--version', real.versionId, '--out', at(out)];
        const { exit, err } = await wv('fetch', ...args);
        expect([exit, err]).toEqual([0, expect.anything()]);
        return readFileSync(at(out, LARGE)).equals(real.model.get(LARGE) ?? Buffer.alloc(0));
      };
      let keeper = await startKeeper(join(token, 'keeper.json'));
      const vault = await startVault(moved);
      const requester = join(machine, 'requester.json');
      const url = `https://127.0.0.1:${JSON.parse(await vault.firstLine).dataPort}`;
      writeFileSync(requester, JSON.stringify({ ...JSON.parse(readFileSync(requester, 'utf8')), url }));

      expect(await fetched('first')).toBe(true);
      await end(keeper, 'SIGKILL');
      keeper = await startKeeper(join(token, 'keeper.json'));
      expect(await fetched('second')).toBe(true);
      expect(openPaths(vault.pid).filter((path) => path.startsWith(token) || /softhsm|pkcs11/.test(path))).toEqual([]);
      expect(await end(vault)).toBe(0);

      // One process a plane, and one keeper for both.
      const planes = [await startVault(moved, '--plane', 'data'), await startVault(moved, '--plane', 'admin')];
      for (const plane of planes) expect(JSON.parse(await plane.firstLine)).toMatchObject({ serving: true });
      for (const plane of planes) expect(await end(plane)).toBe(0);
      expect(await end(keeper)).toBe(0);
    });

    function giveAll(folder: string, uid: number): void {
      for (const one of ['.', ...(readdirSync(folder, { recursive: true }) as string[])]) chownSync(join(folder, one), uid, uid);
    }
  });
});

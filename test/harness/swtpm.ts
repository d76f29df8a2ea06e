// A real TPM 2.0 in software (swtpm), with an endorsement key and certificates signed by a small CA made beside it.
// Works as root and as anyone else; several may run at once, each with its own folder, CA and pair of ports.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { isFree } from './free-port.ts';

export interface Swtpm {
  /** For TPM2TOOLS_TCTI and `--tcti`. Read it anew after `reboot`: a port taken meanwhile is replaced. */
  readonly tcti: string;
  readonly folder: string;
  /** PEM files. The endorsement certificates (NV 0x1c00002 RSA-2048, 0x1c00016 ECC P-384) chain to root through issuer. */
  readonly rootCertificate: string;
  readonly issuerCertificate: string;
  readonly pid: number;
  /** Runs one tpm2-tools command against this TPM and returns its standard output; throws with its standard error. */
  tool(command: string, ...args: string[]): Promise<Buffer>;
  /** Orderly shutdown and power-on: PCRs and transient objects are gone, NV and persistent keys stay, resetCount goes up by one. */
  reboot(): Promise<void>;
  /** Ends the process; also removes the folder, unless the caller named it. Safe to call twice. */
  stop(): Promise<void>;
}

const run = promisify(execFile);
const readyWithin = 30_000; // milliseconds from start to listening
const portTries = 20;

/** Starts a TPM. A folder named by the caller is kept by `stop`, and a TPM found in it is started again with the state it had. */
export async function startSwtpm(folder?: string): Promise<Swtpm> {
  const home = folder === undefined ? await mkdtemp(join(tmpdir(), 'wv-swtpm-')) : resolve(folder);
  const discard = async (): Promise<void> => {
    if (folder === undefined) await rm(home, { recursive: true, force: true });
  };
  try {
    if (!existsSync(join(home, 'state', 'tpm2-00.permall'))) await manufacture(home);
    return tpmHandle(home, await powerOn(home), discard);
  } catch (error) {
    await discard();
    throw error;
  }
}

interface Powered {
  readonly child: ChildProcess;
  readonly port: number;
  readonly pid: number;
}

function tpmHandle(home: string, first: Powered, discard: () => Promise<void>): Swtpm {
  let powered: Powered | undefined = first;
  const current = (): Powered => {
    if (powered === undefined) throw new Error('this software TPM was stopped');
    return powered;
  };
  const tcti = (): string => `swtpm:host=127.0.0.1,port=${current().port}`;
  const tool = async (command: string, ...args: string[]): Promise<Buffer> => {
    const env = { ...process.env, TPM2TOOLS_TCTI: tcti() };
    return (await run(command, args, { env, encoding: 'buffer', maxBuffer: 16 << 20 })).stdout;
  };
  return {
    get tcti() {
      return tcti();
    },
    get pid() {
      return current().pid;
    },
    folder: home,
    rootCertificate: join(home, 'ca', 'swtpm-localca-rootca-cert.pem'),
    issuerCertificate: join(home, 'ca', 'issuercert.pem'),
    tool,
    async reboot() {
      const { child, port } = current();
      await tool('tpm2_shutdown', '--clear');
      await end(child);
      powered = await powerOn(home, port);
    },
    async stop() {
      if (powered === undefined) return;
      const { child } = powered;
      powered = undefined;
      await end(child);
      await discard();
    },
  };
}

// --- making the TPM: keys, certificates, and the CA that signs them ---------------------------------------------------------

async function manufacture(home: string): Promise<void> {
  const ca = join(home, 'ca');
  const state = join(home, 'state');
  await mkdir(ca, { recursive: true, mode: 0o700 });
  await mkdir(state, { recursive: true, mode: 0o700 });
  const files = { ca: join(home, 'localca.conf'), options: join(home, 'localca.options'), setup: join(home, 'setup.conf') };
  await writeLines(files.ca, [
    `statedir = ${ca}`,
    `signingkey = ${join(ca, 'signkey.pem')}`,
    `issuercert = ${join(ca, 'issuercert.pem')}`,
    `certserial = ${join(ca, 'certserial')}`,
  ]);
  await writeLines(files.options, ['--platform-manufacturer WeightVault', '--platform-version 1.0', '--platform-model SoftwareTPM']);
  await writeLines(files.setup, [
    `create_certs_tool = ${await find('swtpm_localca')}`,
    `create_certs_tool_config = ${files.ca}`,
    `create_certs_tool_options = ${files.options}`,
    'active_pcr_banks = sha256',
  ]);
  const wanted = ['--createek', '--create-ek-cert', '--create-platform-cert', '--lock-nvram', '--overwrite'];
  await run('swtpm_setup', ['--tpm2', '--tpm-state', state, '--config', files.setup, ...wanted]).catch((error: unknown) => {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`swtpm_setup failed: ${`${stdout}${stderr}`.trim()}`, { cause: error });
  });
}

function writeLines(file: string, lines: string[]): Promise<void> {
  return writeFile(file, `${lines.join('\n')}\n`, { mode: 0o600 });
}

async function find(command: string): Promise<string> {
  const places = `${process.env['PATH'] ?? ''}:/usr/bin:/usr/local/bin:/usr/share/swtpm`.split(':').map((place) => join(place, command));
  const found = places.find((place) => existsSync(place));
  if (found === undefined) throw new Error(`${command} is not on this machine: install the package swtpm-tools`);
  return found;
}

// --- power on and off -------------------------------------------------------------------------------------------------------

/** A port probed free can be taken a moment later, so a TPM that fails to bind is started again on another pair. */
async function powerOn(home: string, preferred?: number): Promise<Powered> {
  let last: unknown;
  for (let attempt = 0; attempt < portTries; attempt++) {
    const port = attempt === 0 && preferred !== undefined ? preferred : await freePortPair();
    try {
      return await startProcess(home, port);
    } catch (error) {
      last = error;
    }
  }
  throw new Error(`swtpm did not start in ${portTries} attempts`, { cause: last });
}

async function startProcess(home: string, port: number): Promise<Powered> {
  const pidFile = join(home, 'swtpm.pid');
  await rm(pidFile, { force: true });
  const child = spawn(
    'setpriv', // part of util-linux; becomes swtpm, and has the kernel end it with us: a test run that is killed leaves no TPM behind
    [
      ...['--pdeathsig', 'KILL', 'swtpm'],
      'socket',
      '--tpm2',
      ...['--tpmstate', `dir=${join(home, 'state')}`],
      ...['--server', `type=tcp,port=${port},bindaddr=127.0.0.1`],
      ...['--ctrl', `type=tcp,port=${port + 1},bindaddr=127.0.0.1`], // the TCTI takes port + 1 for the control channel: no choice
      ...['--pid', `file=${pidFile}`],
      ...['--flags', 'not-need-init,startup-clear'],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  await listening(child, pidFile);
  child.stderr.resume();
  child.unref();
  return { child, port, pid: child.pid ?? 0 };
}

/** swtpm writes its pid file once both ports are bound (swtpm.c), which a mere connect() could not tell from a neighbour's TPM. */
async function listening(child: ChildProcess, pidFile: string): Promise<void> {
  let stderr = '';
  let failure: Error | undefined;
  child.stderr?.on('data', (piece) => (stderr += piece));
  child.once('error', (error) => (failure = error));
  for (const giveUp = Date.now() + readyWithin; Date.now() < giveUp; await sleep(10)) {
    if (failure !== undefined) throw failure;
    if (hasEnded(child)) throw new Error(`swtpm ended at once: ${stderr.trim()}`);
    const pid = await readFile(pidFile, 'utf8').catch(() => '');
    if (Number.parseInt(pid, 10) === child.pid) return;
  }
  await end(child);
  throw new Error(`swtpm was not listening within ${readyWithin} ms: ${stderr.trim()}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  child.ref();
  const ended = new Promise<void>((done) => child.once('close', () => done()));
  child.kill('SIGTERM');
  const tooLong = setTimeout(() => child.kill('SIGKILL'), 30_000);
  await ended;
  clearTimeout(tooLong);
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Two neighbouring free loopback ports, below the range the kernel hands to outgoing connections. */
async function freePortPair(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = randomInt(10_000, 16_000) * 2;
    if ((await isFree(port)) && (await isFree(port + 1))) return port;
  }
  throw new Error('no two neighbouring loopback ports are free');
}

/** The servers we are compared with: child processes with a configuration of their own, on loopback, in a temporary folder. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { cpus } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type BenchVault, OBJECT, type TlsFiles } from './bench-vault.ts';

/** Where `npm run bench` unpacks what is not installed (deploy/bootstrap.mjs). */
const UNPACKED = fileURLToPath(new URL('../../.cache/peers/', import.meta.url));
export const CIPHER = 'TLS_AES_256_GCM_SHA384';
const run = promisify(execFile);

export interface Peer {
  /** With its version. */
  readonly name: string;
  readonly pid: number;
  readonly port: number;
  readonly path: string;
  stop(): Promise<void>;
}

/** Undefined when this machine does not have it. */
export type StartPeer = (vault: BenchVault) => Promise<Peer | undefined>;

/** The plaintext of the same file: what TLS and file reading alone cost. */
export async function startNginx(vault: BenchVault): Promise<Peer | undefined> {
  const nginx = find('nginx');
  if (nginx === undefined) return undefined;
  const folder = vault.real.at('nginx');
  mkdirSync(folder);
  const port = await freePort();
  writeFileSync(join(folder, 'nginx.conf'), nginxConfiguration(folder, port, vault));
  const { stderr } = await run(nginx, ['-v']);
  const name = `nginx ${/\/([\d.]+)/.exec(stderr)?.[1] ?? ''}, plaintext`;
  return started(name, port, `/${OBJECT}`, nginx, ['-e', 'stderr', '-p', folder, '-c', join(folder, 'nginx.conf')]);
}

/** `user` counts only for root, whose workers would otherwise be another user that cannot read the folder. */
function nginxConfiguration(folder: string, port: number, { tls, plainFolder }: BenchVault): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${join(folder, kind)};`);
  return `
daemon off;
worker_processes ${cpus().length};
pid ${join(folder, 'nginx.pid')};
error_log stderr crit;
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 2048; }
http {
  access_log off;
  sendfile on;
  ${temporary.join(' ')}
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${tls.serverCertificate};
    ssl_certificate_key ${tls.serverKey};
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites ${CIPHER};
    ssl_verify_client optional_no_ca;
    ssl_session_cache off;
    ssl_session_tickets off;
    root ${plainFolder};
    default_type application/octet-stream;
  }
}
`;
}

/** The same file under rclone's own encryption (XSalsa20-Poly1305 in 64 KiB blocks), decrypted while it is served. */
export async function startRclone(vault: BenchVault): Promise<Peer | undefined> {
  const rclone = find('rclone');
  if (rclone === undefined) return undefined;
  const folder = vault.real.at('rclone');
  mkdirSync(folder);
  const configuration = join(folder, 'rclone.conf');
  const password = await obscured(rclone);
  const settings = [`remote = ${join(folder, 'sealed')}`, `password = ${password}`, 'filename_encryption = off'];
  writeFileSync(configuration, ['[crypt]', 'type = crypt', ...settings, 'directory_name_encryption = false', ''].join('\n'));
  await run(rclone, ['--config', configuration, 'copy', vault.plainFolder, 'crypt:']);
  const port = await freePort();
  const { stdout } = await run(rclone, ['version']);
  const name = `rclone ${/v([\d.]+)/.exec(stdout)?.[1] ?? ''} crypt`;
  const address = ['--addr', `127.0.0.1:${port}`, '--read-only', ...tlsArguments(vault.tls)];
  return started(name, port, `/${OBJECT}`, rclone, ['--config', configuration, 'serve', 'http', 'crypt:', ...address]);
}

function tlsArguments(tls: TlsFiles): string[] {
  return ['--cert', tls.serverCertificate, '--key', tls.serverKey, '--client-ca', tls.clientCertificate, '--min-tls-version', 'tls1.3'];
}

function obscured(rclone: string): Promise<string> {
  return new Promise((done, fail) => {
    const child = execFile(rclone, ['obscure', '-'], (error, stdout) => (error ? fail(error) : done(stdout.trim())));
    child.stdin?.end('a benchmark hides nothing');
  });
}

/** Ends with us even when we are killed: setpriv is part of util-linux. */
async function started(name: string, port: number, path: string, file: string, args: readonly string[]): Promise<Peer> {
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', file, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let words = '';
  child.stderr.on('data', (piece) => (words = `${words}${piece}`.slice(-2000)));
  const gone = new Promise<void>((done) => child.once('close', () => done()));
  const stop = async () => {
    child.kill('SIGTERM');
    await gone;
  };
  for (const giveUp = Date.now() + 20_000; Date.now() < giveUp; await sleep(50)) {
    if (hasEnded(child)) throw new Error(`${name} ended at once: ${words.trim()}`);
    if (await answers(port)) return { name, pid: child.pid ?? 0, port, path, stop };
  }
  await stop();
  throw new Error(`${name} does not listen: ${words.trim()}`);
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function answers(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      done(true);
    });
    socket.once('error', () => done(false));
  });
}

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer().once('error', fail);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => (address !== null && typeof address === 'object' ? done(address.port) : fail(new Error('no free port'))));
    });
  });
}

function find(command: string): string | undefined {
  const unpacked = ['usr/sbin', 'usr/bin'].map((folder) => join(UNPACKED, folder));
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/bin', ...unpacked];
  return folders
    .filter(Boolean)
    .map((folder) => join(folder, command))
    .find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

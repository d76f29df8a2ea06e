/** A real rsyslog that takes syslog over TLS on loopback and writes what it gets into a file, one message a line. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const BINARY = '/usr/sbin/rsyslogd';
const DRIVERS = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/usr/lib'].map((lib) =>
  join(lib, 'rsyslog/lmnsd_gtls.so'),
);

/** `npm test` installs it where it may. */
export const hasRsyslog = existsSync(BINARY) && DRIVERS.some((driver) => existsSync(driver));

export interface Rsyslog {
  readonly port: number;
  /** What it wrote so far. */
  lines(): string[];
  /** The same as it understood them by RFC 5424: severity, name, kind, structured data, text. */
  parsed(): string[];
  stop(): Promise<void>;
}

export async function startRsyslog(
  folder: string,
  port: number,
  tls: { readonly ca: string; readonly cert: string; readonly key: string },
): Promise<Rsyslog> {
  mkdirSync(folder, { recursive: true });
  const at = (name: string) => join(folder, name);
  for (const [name, text] of Object.entries({ 'ca.pem': tls.ca, 'cert.pem': tls.cert, 'key.pem': tls.key }))
    writeFileSync(at(name), text, { mode: 0o600 });
  writeFileSync(
    at('rsyslog.conf'),
    `global(maxMessageSize="32k" workDirectory="${folder}" defaultNetstreamDriver="gtls"
       defaultNetstreamDriverCAFile="${at('ca.pem')}" defaultNetstreamDriverCertFile="${at('cert.pem')}" defaultNetstreamDriverKeyFile="${at('key.pem')}")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="whole" type="string" string="%rawmsg%\\n")
template(name="parts" type="string" string="%syslogseverity-text% %app-name% %msgid% %structured-data% %msg%\\n")
ruleset(name="sink") {
  action(type="omfile" file="${at('received')}" template="whole")
  action(type="omfile" file="${at('parsed')}" template="parts")
}
input(type="imtcp" address="127.0.0.1" port="${port}" ruleset="sink")
`,
  );
  const process = spawn(BINARY, ['-n', '-f', at('rsyslog.conf'), '-i', at('pid')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  process.stderr?.on('data', (chunk) => {
    said += chunk;
  });
  await listens(port, process, () => said);
  return {
    port,
    lines: () => linesOf(at('received')),
    parsed: () => linesOf(at('parsed')),
    async stop() {
      if (process.exitCode !== null) return;
      process.kill('SIGTERM');
      await once(process, 'exit');
    },
  };
}

function linesOf(file: string): string[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
}

async function listens(port: number, process: ChildProcess, said: () => string): Promise<void> {
  for (let tries = 0; tries < 1_200; tries++) {
    if (process.exitCode !== null) throw new Error(`rsyslogd ended: ${said()}`);
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (open) return;
    await sleep(50);
  }
  throw new Error(`rsyslogd does not listen: ${said()}`);
}

/** Processes of other users, without a capability and without a way to gain one: what the containers of docker-compose.yml are. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';

/** Changing to another user needs root, and setpriv of util-linux drops the rest. Elsewhere these tests are skipped, visibly. */
export const canChangeUser = process.geteuid?.() === 0 && spawnSync('setpriv', ['--version'], { stdio: 'ignore' }).status === 0;

export interface User {
  readonly uid: number;
  readonly groups: readonly number[];
}

export interface Ended {
  readonly exit: number | null;
  readonly out: string;
  readonly err: string;
}

export interface Running {
  readonly process: ChildProcess;
  readonly pid: number;
  /** The first line of standard output; rejects when it ends before. */
  readonly firstLine: Promise<string>;
  readonly log: readonly string[];
  readonly ended: Promise<number | null>;
}

function launch(user: User, program: string, args: readonly string[]): ChildProcess {
  const drop = ['--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all', '--no-new-privs'];
  const who = [
    `--reuid=${user.uid}`,
    `--regid=${user.uid}`,
    user.groups.length === 0 ? '--clear-groups' : `--groups=${user.groups.join(',')}`,
  ];
  return spawn('setpriv', [...who, ...drop, '--', program, ...args], {
    env: { PATH: '/usr/bin:/bin' },
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

export function runAs(user: User, program: string, ...args: readonly string[]): Promise<Ended> {
  const child = launch(user, program, args);
  let [out, err] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (piece) => (out += piece));
  child.stderr?.setEncoding('utf8').on('data', (piece) => (err += piece));
  return new Promise((done) => child.once('close', (exit) => done({ exit, out, err })));
}

export function startAs(user: User, program: string, ...args: readonly string[]): Running {
  const child = launch(user, program, args);
  const log: string[] = [];
  if (child.stdout === null || child.stderr === null) throw new Error('no pipes');
  createInterface({ input: child.stderr }).on('line', (line) => log.push(line));
  const ended = new Promise<number | null>((done) => child.once('close', done));
  const out = createInterface({ input: child.stdout });
  const firstLine = new Promise<string>((done, fail) => {
    out.once('line', done);
    void ended.then((exit) => fail(new Error(`ended with ${exit}: ${log.join('\n')}`)));
  });
  firstLine.catch(() => undefined); // a test that waits for it hears of it; others may not want it
  return { process: child, pid: child.pid ?? 0, firstLine, log, ended };
}

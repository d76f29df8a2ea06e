/**
 * A child (log-writer.ts) in which strace makes the n-th system call of a kind kill the process or fail, and what is left afterwards: every record that was
 * acknowledged is there, once, in a log that verifies with our verifier and with Go's. Used by the tests and, with thousands of points, by the soak.
 */
import { spawn, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../../src/domain/clock.ts';
import { openSqliteStores } from '../../../src/stores/sqlite/sqlite-stores.ts';
import { CHANGING, type Point, type Site, sitesIn } from './calls.ts';
import { nextStart } from './next-start.ts';

export const WRITER = fileURLToPath(new URL('log-writer.ts', import.meta.url));
/** Where Node keeps what it compiled: most of what a start takes. */
const COMPILED = fileURLToPath(new URL('../../../.cache/compiled', import.meta.url));
const RUN_MS = 200_000;

/** Why faults cannot be injected here; undefined when they can. */
export function whyNoInjection(): string | undefined {
  const tried = spawnSync('strace', ['-f', '-qq', '-e', 'trace=fsync', '-e', 'inject=fsync:error=EIO', '-o', '/dev/null', 'true']);
  if (tried.error !== undefined) return 'there is no strace here';
  return tried.status === 0 ? undefined : 'this machine allows no tracing';
}

/** The same of a process that runs already, and is none of strace's own. */
export function whyNoAttaching(): string | undefined {
  const scope = '/proc/sys/kernel/yama/ptrace_scope';
  const free = process.getuid?.() === 0 || !existsSync(scope) || readFileSync(scope, 'utf8').trim() === '0';
  return whyNoInjection() ?? (free ? undefined : 'this machine lets nobody trace a process that runs already');
}

/** A database with its schema, a key and an empty kept checkpoint; runs work on copies of it. */
export async function emptySite(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'wv-fault-'));
  writeFileSync(join(folder, 'log.pem'), generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }));
  writeFileSync(join(folder, 'head'), '');
  await (await openSqliteStores({ file: join(folder, 'vault.db'), clock: systemClock })).close();
  return folder;
}

/** What happens at which call: `signal=SIGKILL`, `error=EIO`. */
export interface Fault extends Point {
  readonly effect: string;
}

const RECORDS = 200;

export interface Survived {
  readonly exit: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly acknowledged: readonly string[];
  /** The child said that its disk failed. */
  readonly failed: boolean;
  /** Records that were acknowledged after that. */
  readonly acknowledgedLate: number;
  /** From that to its end, by its own clock. NaN when it had none. */
  readonly endedAfterMs: number;
  readonly refused: number;
  readonly done: boolean;
  /** Of the log that the next process publishes. */
  readonly records: number;
}

/** What an undisturbed run calls. */
export async function calledSites(site: string): Promise<readonly Site[]> {
  const folder = mkdtempSync(join(tmpdir(), 'wv-calls-'));
  try {
    cpSync(site, folder, { recursive: true });
    const trace = join(tmpdir(), `${basename(folder)}.trace`);
    const { done } = await runWriter(folder, ['-y', '-s', '0', '-o', trace, '-e', `trace=${CHANGING.join()}`]);
    if (!done) throw new Error('the undisturbed run did not come to its end');
    const sites = sitesIn(readFileSync(trace, 'utf8'), folder);
    rmSync(trace);
    return sites;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs the writer under the fault, then starts anew and verifies. Throws when something acknowledged is missing or anything does not verify. */
export async function surviving(site: string, { call, file, when, effect }: Fault): Promise<Survived> {
  const folder = mkdtempSync(join(tmpdir(), 'wv-faulty-'));
  try {
    cpSync(site, folder, { recursive: true });
    const inject = ['-o', '/dev/null', '-P', join(folder, file), '-e', `trace=${call}`, '-e', `inject=${call}:${effect}:when=${when}`];
    const ran = await runWriter(folder, inject);
    return { ...ran, records: await nextStart(folder, ran.acknowledged) };
  } catch (cause) {
    throw new Error(`${effect} at ${call} ${file} ${when}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function runWriter(folder: string, traced: readonly string[]): Promise<Omit<Survived, 'records'>> {
  // Its quicker way, --seccomp-bpf, loses the signals that strace 6.1 is to inject.
  const strace = ['-f', '-qq', ...traced];
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', WRITER, folder, String(RECORDS)];
  const env = { ...process.env, NODE_COMPILE_CACHE: COMPILED, UV_THREADPOOL_SIZE: '1' }; // strace counts by thread
  const child = spawn('strace', [...strace, ...node], { env, stdio: ['ignore', 'pipe', 'ignore'], timeout: RUN_MS, killSignal: 'SIGKILL' });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('close', (exit, signal) => {
      const lines = text.split('\n').slice(0, -1); // a line that was cut off was acknowledged to nobody
      const acknowledged = lines.filter((line) => line.startsWith('ack ')).map((line) => line.slice(4));
      const failedLine = lines.findIndex((line) => line.startsWith('failed '));
      done({
        exit,
        signal,
        acknowledged,
        failed: failedLine >= 0,
        acknowledgedLate: failedLine < 0 ? 0 : lines.slice(failedLine).filter((line) => line.startsWith('ack ')).length,
        endedAfterMs: Number(lines.find((line) => line.startsWith('ended '))?.slice(6) ?? Number.NaN),
        refused: lines.filter((line) => line === 'refused').length,
        done: lines.includes('done'),
      });
    });
  });
}

/** One after the other would take twice as long on two cores. */
export async function twoAtOnce<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = [...items.entries()];
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) results[next[0]] = await work(next[1]);
  };
  await Promise.all([worker(), worker()]);
  return results;
}

/** Running `wv` and other programs as a person at a shell would. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const WV = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const NODE_FLAGS = ['--disable-warning=ExperimentalWarning'];
const run = promisify(execFile);

export function execute(program: string, args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return run(program, [...args], { maxBuffer: 64 * 1024 * 1024 });
}

/** Runs `wv ... --json` and returns its answer. Throws with its standard error. */
export async function wv(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { stdout } = await execute(process.execPath, [...NODE_FLAGS, WV, ...args, '--json']);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}');
}

/** Runs `wv` where a refusal is expected: exit 3 (refused), 4 (not now) or 5 (does not verify), and the code on standard error. */
export async function refusedBy(...args: readonly string[]): Promise<{ code: string; text: string }> {
  try {
    await execute(process.execPath, [...NODE_FLAGS, WV, ...args]);
  } catch (error) {
    const { code: exit, stderr = '' } = error as { code?: unknown; stderr?: string };
    // Notes and the next step stand around it.
    const text = stderr.split('\n').findLast((line) => /^[a-z]+(?:_[a-z]+)+: /.test(line)) ?? '';
    if (exit === 3 || exit === 4 || exit === 5) return { code: text.split(':')[0] ?? '', text };
    throw error;
  }
  throw new Error(`wv ${args[0]} should have been refused`);
}

export interface Server {
  readonly dataPort: number;
  readonly adminPort: number;
  readonly process: ChildProcess;
  stop(): Promise<void>;
}

/** Starts `wv serve` and resolves when it listens; its operational log goes to `onLog`. */
export function startServer(folder: string, onLog: (line: string) => void): Promise<Server> {
  const child = spawn(process.execPath, [...NODE_FLAGS, WV, 'serve', '--folder', folder, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  createInterface({ input: child.stderr }).on('line', onLog);
  const stop = async () => {
    child.kill('SIGTERM');
    await gone;
  };
  return new Promise((resolve, reject) => {
    child.once('close', (code) => reject(new Error(`wv serve ended with ${code}`)));
    createInterface({ input: child.stdout }).once('line', (line) => {
      const { dataPort, adminPort } = JSON.parse(line);
      resolve({ dataPort, adminPort, process: child, stop });
    });
  });
}

/** Runs tpm2-tools beside the model server: no shell, one command at a time, what the TPM said kept in the error. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** A TPM answers within seconds; RSA key generation on slow hardware may take half a minute. */
const TOOL_TIMEOUT_MS = 60_000;
const MAX_OUTPUT_BYTES = 1 << 20;

export interface TpmTools {
  /** Runs one command in `folder` and resolves with its standard output. Rejects with the command's name and its stderr. */
  run(folder: string, command: string, ...args: readonly string[]): Promise<string>;
  /**
   * Lends a private folder (0700) that is removed afterwards, to one caller at a time: a TPM without a resource manager holds three objects
   * and three sessions, and two commands in turn would flush each other's.
   */
  exclusively<T>(use: (folder: string) => Promise<T>): Promise<T>;
}

const execute = promisify(execFile);

export function createTpmTools(tcti: string, stateFolder: string): TpmTools {
  let last: Promise<unknown> = Promise.resolve();
  const run: TpmTools['run'] = async (folder, command, ...args) => {
    const env = { ...process.env, TPM2TOOLS_TCTI: tcti };
    try {
      const options = { cwd: folder, env, timeout: TOOL_TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES } as const;
      return (await execute(command, [...args], options)).stdout;
    } catch (cause) {
      throw new Error(`${command} failed: ${explain(cause)}`, { cause });
    }
  };
  return {
    run,
    exclusively(use) {
      const turn = last.then(() => inFreshFolder(stateFolder, use));
      last = turn.catch(() => undefined); // the next caller's turn comes whatever became of this one
      return turn;
    },
  };
}

async function inFreshFolder<T>(stateFolder: string, use: (folder: string) => Promise<T>): Promise<T> {
  await mkdir(stateFolder, { recursive: true, mode: 0o700 });
  const folder = await mkdtemp(join(stateFolder, 'work-')); // mkdtemp makes it 0700
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Standard error when there is any, else why the process could not run (not installed, timeout). */
function explain(cause: unknown): string {
  const { stderr, message } = cause as { stderr?: string; message?: string }; // execFile's error, by its documentation
  const text = stderr === undefined || stderr.trim() === '' ? (message ?? 'unknown') : stderr;
  return text.trim().slice(0, 2000);
}

/** A program that asks hardware for evidence, beside the model server: no shell, bounded in time and output. */
import { execFile } from 'node:child_process';
import { VaultError } from '../domain/errors.ts';

/** Program and arguments. */
export type EvidenceCommand = readonly [string, ...string[]];

/** Eight GPUs in turn take some seconds each. */
const COMMAND_MS = 60_000;

/** What it printed. `environment` is added to ours. What it complains about stays its own. */
export function runCommand(
  [program, ...args]: EvidenceCommand,
  environment: Readonly<Record<string, string>>,
  maxBytes: number,
): Promise<Uint8Array> {
  const options = {
    env: { ...process.env, ...environment },
    timeout: COMMAND_MS,
    maxBuffer: maxBytes,
    shell: false,
    encoding: 'buffer',
  } as const;
  return new Promise((resolve, reject) => {
    execFile(program, args, options, (error, stdout) => {
      if (error === null) return resolve(new Uint8Array(stdout));
      const how =
        typeof error.code === 'number'
          ? `ended with ${error.code}`
          : error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER'
            ? `printed more than ${maxBytes} bytes`
            : error.killed
              ? 'took too long'
              : 'cannot be started';
      reject(new VaultError('usage', `the evidence command ${program} ${how}`, { cause: error }));
    });
  });
}

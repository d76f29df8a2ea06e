/** A keeper process without its supervisor, for a test that must start Node with flags of its own. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createKeeperClient } from '../../src/keys/keeper/client.ts';
import type { KeyProvider } from '../../src/keys/port.ts';
import type { SoftHsm } from './softhsm.ts';

const MAIN = fileURLToPath(new URL('../../src/keys/keeper/main.ts', import.meta.url));

export interface BareKeeper {
  readonly pid: number;
  readonly client: KeyProvider;
  stop(): Promise<void>;
}

export async function startBareKeeper({ module, label, pinFile, env, folder }: SoftHsm, flags: readonly string[]): Promise<BareKeeper> {
  const socket = join(folder, 'bare', 'socket');
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...flags, MAIN], {
    env,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const gone = new Promise<void>((done) => child.once('close', () => done()));
  child.stdin.write(`${JSON.stringify({ module, tokenLabel: label, pinFile, socket, ceremony: true })}\n`);
  await new Promise<void>((done, fail) => {
    createInterface({ input: child.stdout }).on('line', (line) => line.includes('"ready"') && done());
    void gone.then(() => fail(new Error('the keeper ended')));
  });
  const client = createKeeperClient({ socket, deadlineMs: 60_000 });
  return {
    pid: child.pid ?? 0,
    client,
    async stop() {
      await client.close();
      child.stdin.end();
      await gone;
    },
  };
}

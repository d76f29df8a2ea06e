/** A software TPM behind tpm2-abrmd on a bus of its own: a TPM has room for three objects, and the resource manager makes it many. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { startSwtpm } from '../swtpm.ts';

const READY_MS = 60_000;

export interface ManagedTpm {
  /** How a client finds it. */
  readonly env: Readonly<Record<string, string>>;
  /** The TPM and its resource manager end, as when a machine loses its device. */
  lose(): Promise<void>;
  giveBack(): Promise<void>;
  stop(): Promise<void>;
}

export async function startManagedTpm(): Promise<ManagedTpm> {
  const tpm = await startSwtpm();
  const started: ChildProcess[] = [];
  const stop = async () => {
    for (const child of started.reverse()) await ended(child);
    await tpm.stop();
  };
  try {
    const address = `--address=unix:path=${join(tpm.folder, 'bus')}`;
    const bus = spawn('dbus-daemon', ['--session', '--nofork', '--nopidfile', '--print-address=1', address], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    started.push(bus);
    const found = await new Promise<string>((resolve, reject) => {
      bus.stdout.once('data', (piece) => resolve(String(piece).trim()));
      bus.once('close', () => reject(new Error('dbus-daemon ended')));
    });
    const env = { DBUS_SESSION_BUS_ADDRESS: found, TPM2_PKCS11_TCTI: 'tabrmd:bus_type=session' };
    const asRoot = process.geteuid?.() === 0 ? ['--allow-root'] : [];
    const manage = async () => {
      started.push(
        spawn('tpm2-abrmd', ['--session', ...asRoot, `--tcti=${tpm.tcti}`], { env: { ...process.env, ...env }, stdio: 'ignore' }),
      );
      await answering({ ...process.env, ...env, TPM2TOOLS_TCTI: env.TPM2_PKCS11_TCTI });
    };
    await manage();
    const lose = async () => {
      const manager = started.pop();
      if (manager !== undefined) await ended(manager);
    };
    const giveBack = async () => {
      await tpm.reboot();
      await manage();
    };
    return { env, lose, giveBack, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function answering(env: NodeJS.ProcessEnv): Promise<void> {
  for (const end = performance.now() + READY_MS; performance.now() < end; ) {
    if (spawnSync('tpm2_getrandom', ['--hex', '4'], { env, stdio: 'ignore' }).status === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('tpm2-abrmd does not answer');
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('close', () => resolve());
    child.kill('SIGTERM');
  });
}

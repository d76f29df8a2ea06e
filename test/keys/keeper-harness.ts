/** A keeper on a token of its own, for one test file: SoftHSM unless told otherwise. */
import { join } from 'node:path';
import { createKeeperClient, type KeeperClientOptions } from '../../src/keys/keeper/client.ts';
import { type KeeperEvent, type RunningKeeper, startKeeper } from '../../src/keys/keeper/supervisor.ts';
import type { Pkcs11Settings } from '../../src/keys/pkcs11/settings.ts';
import type { KeyProvider } from '../../src/keys/port.ts';
import { type SoftHsm, startSoftHsm } from '../harness/softhsm.ts';
import type { TestToken } from '../harness/tokens/token.ts';

export interface TokenKeeper {
  readonly keeper: RunningKeeper;
  readonly client: KeyProvider;
  readonly events: readonly KeeperEvent[];
  /** How often C_Login was called by any keeper of this test. */
  logins(): number;
  stop(): Promise<void>;
}

export interface TestKeeper extends TokenKeeper {
  readonly hsm: SoftHsm;
}

export interface TestKeeperOptions extends Partial<Pkcs11Settings> {
  readonly ceremony?: boolean;
  /** Socket of the keeper of another token, which it moves from. */
  readonly formerKeeper?: string;
  readonly hangMs?: number;
  /** The keeper gives no PIN file by itself then. */
  readonly pin?: 'elsewhere';
  readonly env?: Readonly<Record<string, string>>;
  readonly client?: Omit<KeeperClientOptions, 'socket'>;
}

export function softHsmToken(hsm: SoftHsm): TestToken {
  const { module, label, pinFile, env, folder } = hsm;
  return { settings: { module, tokenLabel: label, pinFile }, env, folder, remove: async () => hsm.remove() };
}

export async function startTestKeeper(options: TestKeeperOptions = {}, hsm?: SoftHsm): Promise<TestKeeper> {
  const token = hsm ?? (await startSoftHsm());
  const made = await startTokenKeeper(softHsmToken(token), options);
  return {
    ...made,
    hsm: token,
    stop: async () => {
      await made.stop();
      if (hsm === undefined) token.remove();
    },
  };
}

/** A test that is not about deadlines has none that a disk could miss. */
const PATIENT_MS = 60_000;

/** Leaves the token to its owner. */
export async function startTokenKeeper(token: TestToken, options: TestKeeperOptions = {}): Promise<TokenKeeper> {
  const events: KeeperEvent[] = [];
  const { client: limits, pin, env, deadlineMs = PATIENT_MS, ...settings } = options;
  const { pinFile, ...unnamed } = token.settings;
  const keeper = await startKeeper({
    ...unnamed,
    ...(pin === undefined && pinFile !== undefined && { pinFile }),
    socket: join(token.folder, 'keeper', 'socket'),
    ceremony: true,
    deadlineMs,
    ...settings,
    env: { ...token.env, ...env },
    onEvent: (event) => events.push(event),
  });
  const client = createKeeperClient({ socket: keeper.socket, deadlineMs: PATIENT_MS, ...limits });
  return {
    keeper,
    client,
    events,
    logins: () => events.filter(({ event }) => event === 'login').length,
    stop: async () => {
      await client.close();
      await keeper.stop();
    },
  };
}

/** Of a keeper that runs; 0 would be this whole test run. */
export function pidOf(keeper: RunningKeeper): number {
  const pid = keeper.pid();
  if (pid === undefined) throw new Error('no keeper runs');
  return pid;
}

/** Tries until `work` fulfils; rejects with its last error after `ms`. */
export async function eventually<T>(work: () => Promise<T>, ms = 60_000): Promise<T> {
  const end = performance.now() + ms;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** A keeper on a SoftHSM token of its own, for one test file. */
import { join } from 'node:path';
import { createKeeperClient, type KeeperClientOptions } from '../../src/keys/keeper/client.ts';
import { type KeeperEvent, type RunningKeeper, startKeeper } from '../../src/keys/keeper/supervisor.ts';
import type { KeyProvider } from '../../src/keys/port.ts';
import { type SoftHsm, startSoftHsm } from '../harness/softhsm.ts';

export interface TestKeeper {
  readonly hsm: SoftHsm;
  readonly keeper: RunningKeeper;
  readonly client: KeyProvider;
  readonly events: readonly KeeperEvent[];
  /** How often C_Login was called by any keeper of this test. */
  logins(): number;
  stop(): Promise<void>;
}

export interface TestKeeperOptions {
  readonly ceremony?: boolean;
  readonly pinFile?: string;
  readonly tokenSerial?: string;
  readonly hangMs?: number;
  readonly client?: Omit<KeeperClientOptions, 'socket'>;
}

export async function startTestKeeper(options: TestKeeperOptions = {}, hsm?: SoftHsm): Promise<TestKeeper> {
  const token = hsm ?? (await startSoftHsm());
  const events: KeeperEvent[] = [];
  const keeper = await startKeeper({
    module: token.module,
    tokenLabel: token.label,
    ...(options.tokenSerial === undefined ? {} : { tokenSerial: options.tokenSerial }),
    ...(options.hangMs === undefined ? {} : { hangMs: options.hangMs }),
    pinFile: options.pinFile ?? token.pinFile,
    socket: join(token.folder, 'keeper', 'socket'),
    ceremony: options.ceremony ?? true,
    env: token.env,
    onEvent: (event) => events.push(event),
  });
  const client = createKeeperClient({ socket: keeper.socket, ...options.client });
  return {
    hsm: token,
    keeper,
    client,
    events,
    logins: () => events.filter(({ event }) => event === 'login').length,
    stop: async () => {
      await client.close();
      await keeper.stop();
      if (hsm === undefined) token.remove();
    },
  };
}

/** Tries until `work` fulfils; rejects with its last error after `ms`. */
export async function eventually<T>(work: () => Promise<T>, ms = 8_000): Promise<T> {
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

/**
 * KeyProvider of a vault that moves from one HSM to another: new keys are made in `current`, every key is used where it is, and a rewrap from
 * one to the other is the whole of the move. Lives in the keeper of `current`, so that a secret on its way is in no other process.
 *
 * A key is never in both: a name that the former has taken is taken.
 */
import { VaultError } from '../domain/errors.ts';
import { LruMap } from '../domain/lru-map.ts';
import { checkAad, checkMessage, checkSecret } from './bounds.ts';
import type { KeyProvider, KeyRef } from './port.ts';

const REMEMBERED = 1_024;

interface Providers {
  readonly current: KeyProvider;
  /** Asked only for keys that `current` says it does not have. */
  readonly former: KeyProvider;
}

export function createMovingKeyProvider({ current, former }: Providers): KeyProvider {
  /** Keys do not move, so where one was found it is found again. */
  const holders = new LruMap<string, KeyProvider>(REMEMBERED);

  /** Throws `key_unknown` only when both say so. */
  async function holderOf(ref: KeyRef): Promise<KeyProvider> {
    const name = `${ref.id}/${ref.version}`;
    const known = holders.get(name);
    if (known !== undefined) return known;
    const holder = (await has(current, ref)) ? current : former;
    if (holder === former) await former.describe(ref);
    holders.set(name, holder);
    return holder;
  }

  return {
    async generate(ref, purpose) {
      if (await has(former, ref)) throw new VaultError('key_exists', `${ref.id}/${ref.version} is in the former HSM`);
      return current.generate(ref, purpose);
    },
    describe: async (ref) => (await holderOf(ref)).describe(ref),
    destroy: async (ref) => (await holderOf(ref)).destroy(ref),
    async wrap(kek, secret, aad) {
      checkSecret(secret);
      checkAad(aad);
      return (await holderOf(kek)).wrap(kek, secret, aad);
    },
    unwrap: async (wrapped, aad) => (await holderOf(wrapped.kek)).unwrap(wrapped, aad),
    async rewrap(wrapped, aad, to, toAad) {
      const [from, into] = [await holderOf(wrapped.kek), await holderOf(to)];
      if (from === into) return from.rewrap(wrapped, aad, to, toAad);
      using secret = await from.unwrap(wrapped, aad);
      const again = await into.wrap(to, secret, toAad);
      using opened = await into.unwrap(again, toAad);
      if (!secret.equals(opened))
        throw new VaultError('internal', 'the new HSM gave back another secret than it was given; nothing was changed');
      return again;
    },
    async sign(ref, message) {
      checkMessage(message);
      return (await holderOf(ref)).sign(ref, message);
    },
    random: (length) => current.random(length),
    heads: {
      read: async (log) => (await Promise.all([current, former].map((one) => keptIn(one, log)))).flat(),
      async write(log, checkpoint) {
        if (checkpoint.length === 0) await forgetIn(former, log);
        if (current.heads === undefined) throw new VaultError('hsm_mechanism_missing', 'the new provider keeps no data beside its keys');
        await current.heads.write(log, checkpoint);
      },
    },
    async health() {
      const health = await current.health();
      return health.ok ? former.health() : health;
    },
    async close() {
      await Promise.all([current.close(), former.close()]);
    },
  };
}

/** A key that is there and may not be used is there. */
async function has(provider: KeyProvider, ref: KeyRef): Promise<boolean> {
  try {
    await provider.describe(ref);
    return true;
  } catch (error) {
    if (!(error instanceof VaultError)) throw error;
    if (error.code === 'key_unknown') return false;
    if (error.code === 'key_disabled' || error.code === 'key_pending_deletion' || error.code === 'key_unsuitable') return true;
    throw error;
  }
}

/** The one that the former keeps is not taken away: the newest of both counts. */
async function keptIn({ heads }: KeyProvider, log: string): Promise<readonly Uint8Array[]> {
  return (await heads?.read(log).catch(keepsNone)) ?? [];
}

async function forgetIn({ heads }: KeyProvider, log: string): Promise<void> {
  await heads?.write(log, new Uint8Array(0)).catch(keepsNone);
}

function keepsNone(error: unknown): undefined {
  if (error instanceof VaultError && error.code === 'hsm_mechanism_missing') return undefined;
  throw error;
}

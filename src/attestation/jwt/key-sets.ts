/**
 * Key sets that issuers publish, as long as they may be believed: read again after ten minutes, or when a token names a key that is not in
 * them; used for at most an hour when the issuer does not answer. One set is read at most once per half minute, whoever asks for what.
 */
import { DEFAULTS } from '../../domain/classes.ts';
import type { Clock } from '../../domain/clock.ts';
import { VaultError } from '../../domain/errors.ts';
import { type PublicJwk, readJwk } from '../../domain/jwk.ts';
import { LruMap } from '../../domain/lru-map.ts';
import { parseStrictObject } from '../strict-json.ts';

export interface KeySetAddress {
  /** https */
  readonly url: string;
  /** PEM: the only authority to believe; absent, the roots of the system. */
  readonly ca: string | undefined;
}

/** Reads what is at the address: at most `jwksBytes`, within `jwksDeadlineMs`, no redirect. Adapter: fetch-key-set.ts. */
export type FetchKeySet = (address: KeySetAddress) => Promise<Uint8Array>;

export interface KeySets {
  /** Keys of the set, read again if that may help when they do not suit. Rejects `issuer_unavailable` when it cannot tell. */
  keysOf(address: KeySetAddress, suits: (keys: readonly PublicJwk[]) => boolean): Promise<readonly PublicJwk[]>;
}

interface KeySet {
  keys: readonly PublicJwk[] | undefined;
  readAtMs: number;
  triedAtMs: number;
  problem: unknown;
  reading: Promise<void> | undefined;
}

const MAX_SETS = 100;
const MAX_KEYS = 100;

export function createKeySets({ fetch, clock }: { readonly fetch: FetchKeySet; readonly clock: Clock }): KeySets {
  const sets = new LruMap<string, KeySet>(MAX_SETS);
  return {
    async keysOf(address, suits) {
      const set = setOf(sets, address);
      const now = clock.monotonicMs();
      const due = set.keys === undefined || now - set.readAtMs >= DEFAULTS.jwksCacheSeconds * 1000 || !suits(set.keys);
      if (due && (set.reading !== undefined || now - set.triedAtMs >= DEFAULTS.jwksRetrySeconds * 1000)) {
        set.reading ??= read(set, address, fetch, clock);
        await set.reading;
      }
      const usable = set.keys !== undefined && clock.monotonicMs() - set.readAtMs < DEFAULTS.jwksStaleSeconds * 1000;
      // With the last reading failed, a key that is not there may be one that was published since.
      if (set.keys === undefined || !usable || (set.problem !== undefined && !suits(set.keys))) {
        throw unavailable(address, set.problem);
      }
      return set.keys;
    },
  };
}

/** Where the set is goes to the operational log alone: whoever sends a token need not know. */
function unavailable({ url }: KeySetAddress, problem: unknown): VaultError {
  const cause = new Error(`the key set at ${new URL(url).host}`, { cause: problem });
  return new VaultError('issuer_unavailable', 'the key set of the issuer cannot be read', { cause });
}

function setOf(sets: LruMap<string, KeySet>, { url, ca = '' }: KeySetAddress): KeySet {
  const name = `${url}\n${ca}`;
  const set = sets.get(name) ?? {
    keys: undefined,
    readAtMs: 0,
    triedAtMs: Number.NEGATIVE_INFINITY,
    problem: undefined,
    reading: undefined,
  };
  sets.set(name, set);
  return set;
}

/** Never rejects: the set remembers what went wrong. */
async function read(set: KeySet, address: KeySetAddress, fetch: FetchKeySet, clock: Clock): Promise<void> {
  set.triedAtMs = clock.monotonicMs();
  try {
    set.keys = parseKeySet(await fetch(address));
    set.readAtMs = set.triedAtMs;
    set.problem = undefined;
  } catch (error) {
    set.problem = error;
  } finally {
    set.reading = undefined;
  }
}

/** The usable keys of a JWK set (RFC 7517 section 5). Throws when there is none. */
function parseKeySet(bytes: Uint8Array): readonly PublicJwk[] {
  const set = parseStrictObject(bytes);
  if (typeof set === 'string') throw new Error(`the key set ${set}`);
  const listed = set['keys'];
  if (!Array.isArray(listed) || listed.length > MAX_KEYS) throw new Error(`the key set has no list of at most ${MAX_KEYS} keys`);
  const keys = listed.flatMap((one) => readJwk(one) ?? []);
  if (keys.length === 0) throw new Error('the key set holds no key that this vault verifies with');
  return keys;
}

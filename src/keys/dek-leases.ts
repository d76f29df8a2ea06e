/**
 * DEKs in clear, and nowhere else (promise P5): at most one unwrap per wrapped key and process, lent to live releases, wiped
 * `lingerSeconds` after the last one ends, or at once when told.
 */
import type { RecordedPermit } from '../domain/access.ts';
import { equalBytes, lp, sha256Hex } from '../domain/bytes.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { assertEarned } from '../domain/earned.ts';
import { VaultError } from '../domain/errors.ts';
import type { KeyName, VersionId } from '../domain/ids.ts';
import type { SecretBytes } from '../domain/secret.ts';
import { DEK_BYTES } from './dek.ts';
import type { KeyProvider } from './port.ts';
import { encodeWrappedKey, type WrappedKey } from './wrapped-key.ts';

export interface DekLease {
  readonly versionId: VersionId;
  /** The version of the KEK that opened it, `id/version`. */
  readonly kek: KeyName;
  /** Throws `release_cut` once the DEK was wiped or the lease released: ask for it at each use, keep no copy. */
  readonly dek: SecretBytes;
  /** Ends the lease; a second call does nothing. */
  release(): void;
  [Symbol.dispose](): void;
}

export interface DekLeases {
  /** For reading. Needs a permit that was recorded, and an AAD of that permit's own version. */
  lease(permit: RecordedPermit, wrapped: WrappedKey, aad: Uint8Array): Promise<DekLease>;
  /** For publishing only: seals objects of a version that is still being uploaded, whose reader does not exist yet. */
  leaseForSealing(versionId: VersionId, wrapped: WrappedKey, aad: Uint8Array): Promise<DekLease>;
  /** Suspend: the version's DEK is gone when this returns, whoever holds it; a running unwrap ends in `release_cut`. */
  wipe(versionId: VersionId): void;
  /** Suspension of a key: as `wipe`, for everything that this version of the KEK (`id/version`) opened. */
  wipeKek(kek: KeyName): void;
  /** Block: after the blocked releases were released, wipes every DEK no other live lease holds, without the linger. */
  wipeIdle(): void;
  /** Lockdown: as `wipe`, for all. Later leases unwrap anew, if they are permitted. */
  wipeAll(): void;
  /** `wipeAll`, and no lease ever again. */
  dispose(): void;
}

/** A test moves time through this. */
export interface LingerTimers {
  start(run: () => void, ms: number): () => void;
}

export interface DekLeasesOptions {
  readonly provider: Pick<KeyProvider, 'unwrap'>;
  readonly lingerSeconds?: number;
  readonly timers?: LingerTimers;
}

interface Entry {
  readonly versionId: VersionId;
  readonly kek: KeyName;
  readonly opened: Promise<SecretBytes>;
  leases: number;
  dek: SecretBytes | undefined;
  wiped: boolean;
  cancelLinger: (() => void) | undefined;
}

export function createDekLeases(options: DekLeasesOptions): DekLeases {
  const { provider, lingerSeconds = DEFAULTS.dekLingerSeconds, timers = systemTimers } = options;
  const entries = new Map<string, Entry>();
  let disposed = false;

  async function lend(versionId: VersionId, wrapped: WrappedKey, aad: Uint8Array): Promise<DekLease> {
    if (disposed) throw new VaultError('keeper_unavailable', 'this process is stopping');
    // The AAD is part of the name: a second caller with another context must be told by the HSM, not served from memory.
    const name = `${versionId} ${sha256Hex(lp(encodeWrappedKey(wrapped), aad))}`;
    const entry = entries.get(name) ?? open(name, versionId, wrapped, aad);
    entry.leases += 1;
    entry.cancelLinger?.();
    entry.cancelLinger = undefined;
    try {
      await entry.opened;
    } catch (cause) {
      entry.leases -= 1;
      throw cause;
    }
    return leaseOf(name, entry);
  }

  function open(name: string, versionId: VersionId, wrapped: WrappedKey, aad: Uint8Array): Entry {
    const kek = `${wrapped.kek.id}/${wrapped.kek.version}` as KeyName; // of a branded id
    const opened = unwrapInto(() => entry);
    const entry: Entry = { versionId, kek, opened, leases: 0, dek: undefined, wiped: false, cancelLinger: undefined };
    entries.set(name, entry);
    entry.opened.catch(() => {
      if (entries.get(name) === entry) entries.delete(name); // a failed unwrap is not remembered: the next lease asks again
    });
    return entry;

    async function unwrapInto(target: () => Entry): Promise<SecretBytes> {
      const dek = await provider.unwrap(wrapped, aad);
      if (target().wiped) {
        dek.dispose();
        throw cut();
      }
      if (dek.length !== DEK_BYTES) {
        dek.dispose();
        throw new VaultError('key_unwrap_refused', 'the wrapped key is not a DEK of 32 bytes');
      }
      target().dek = dek;
      return dek;
    }
  }

  function leaseOf(name: string, entry: Entry): DekLease {
    let released = false;
    const release = () => {
      if (released) return;
      released = true;
      entry.leases -= 1;
      if (entry.leases === 0 && !entry.wiped) entry.cancelLinger = timers.start(() => wipeEntry(name, entry), lingerSeconds * 1000);
    };
    return {
      versionId: entry.versionId,
      kek: entry.kek,
      get dek() {
        if (released || entry.dek === undefined) throw cut();
        return entry.dek;
      },
      release,
      [Symbol.dispose]: release,
    };
  }

  function wipeEntry(name: string, entry: Entry): void {
    entry.wiped = true;
    entry.cancelLinger?.();
    entry.cancelLinger = undefined;
    entry.dek?.dispose();
    entry.dek = undefined;
    if (entries.get(name) === entry) entries.delete(name);
  }

  function wipeWhere(test: (entry: Entry) => boolean): void {
    for (const [name, entry] of [...entries]) if (test(entry)) wipeEntry(name, entry);
  }

  return {
    async lease(permit, wrapped, aad) {
      assertEarned('RecordedPermit', permit);
      if (!isContextOf(permit, wrapped, aad)) throw new VaultError('key_context_mismatch', 'the permit is for another version');
      return lend(permit.versionId, wrapped, aad);
    },
    leaseForSealing: lend,
    wipe: (versionId) => wipeWhere((entry) => entry.versionId === versionId),
    wipeKek: (kek) => wipeWhere((entry) => entry.kek === kek),
    wipeIdle: () => wipeWhere((entry) => entry.leases === 0),
    wipeAll: () => wipeWhere(() => true),
    dispose() {
      disposed = true;
      wipeWhere(() => true);
    },
  };
}

/** `aad` ends in the permit's own ids and the wrapped key's KEK (dekWrapAad); the vault id before them is the HSM's to judge. */
function isContextOf(permit: RecordedPermit, wrapped: WrappedKey, aad: Uint8Array): boolean {
  const tail = lp(permit.namespace, permit.modelId, permit.versionId, wrapped.kek.id, String(wrapped.kek.version));
  return aad.length > tail.length && equalBytes(aad.subarray(aad.length - tail.length), tail);
}

const cut = () => new VaultError('release_cut', 'the key of this version was wiped');

const systemTimers: LingerTimers = {
  start(run, ms) {
    const timer = setTimeout(run, ms).unref(); // a lingering key must not keep a stopping process alive
    return () => clearTimeout(timer);
  },
};

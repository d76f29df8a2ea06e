/**
 * The keys that sign documents and the access log are replaced, while the ones before still answer: in the HSM that the vault moved to, so that the
 * former one can be taken away, or in the same one. Nobody serves meanwhile.
 *
 *   announce   in the database as it is: the new `vault` document, and the record `signing.rotated` that names it, under a checkpoint of the key before
 *   sign again in a copy: every document that verifies, the key rings, and that very checkpoint
 *
 * So whoever trusts the key before has its word for the one after, and no log of two heads exists at any moment.
 */
import { createPublicKey } from 'node:crypto';
import { loggable } from '../audit/record.ts';
import type { Sequencer } from '../audit/sequencer.ts';
import { formatVkey, type VerifierKey, verifierKey } from '../audit/vkey.ts';
import { codeOf, VaultError } from '../domain/errors.ts';
import type { Digest, RecordId } from '../domain/ids.ts';
import { KEY_USES } from '../domain/key-state.ts';
import type { KeyProvider } from '../keys/port.ts';
import { type KeyRing, type KeyVersion, kekName, keyRings } from './key-ring.ts';
import { makeSigningKeys, publicKeyOf, putRing, putVault, type SigningKeys, signAgain, signLogAgain } from './signing-keys.ts';
import type { StoredVault } from './stored-vault.ts';
import type { Vault } from './vault.ts';
import { UNREADABLE, wrappedUnder } from './wrapped-under.ts';

export interface Announced {
  readonly made: SigningKeys;
  readonly vaultDocument: Digest;
  /** For those who verify the access log from now on. */
  readonly logKey: VerifierKey;
  /** Signed by the key before; its last record names the key after. */
  readonly checkpoint: Uint8Array;
  /** Of `signing.rotated`, the newest record there is. */
  readonly recordId: RecordId;
}

interface AnnouncePorts {
  readonly old: StoredVault;
  /** The HSM that the vault goes on with: what is not in it is out of reach afterwards. */
  readonly keys: KeyProvider;
  readonly accessLog: Vault['accessLog'];
  /** Signs by the log key before. */
  readonly sequencer: Sequencer;
}

/**
 * Throws `key_in_use` while something is wrapped under a KEK version that `keys` does not hold, or would be next; `key_state_conflict` when another
 * key has the name. Interrupted afterwards, the vault is as it was: it may start, or this is done again.
 */
export async function announceSigning({ old, keys, accessLog, sequencer }: AnnouncePorts, now: Date): Promise<Announced> {
  await assertNothingStays(old, keys);
  const made = await makeSigningKeys(old.identity, keys);
  const vault = await putVault(made, now, (message) => keys.sign(made.catalogue.ref, message), old);
  const logKey = verifierKey(old.identity.origin, publicKeyOf(made.log));
  const recordId = await old.stores.unitOfWork.run((tx) =>
    accessLog.append(tx, {
      type: 'signing.rotated',
      outcome: 'success',
      actor: { kind: 'system' },
      detail: loggable(formatVkey(logKey), 512),
      document: { kind: 'vault', digest: vault.digest },
      key: made.log.ref,
    }),
  );
  await committed(sequencer);
  const head = await old.stores.unitOfWork.run((tx) => old.stores.log.head(tx));
  if (head === undefined) throw new VaultError('log_incomplete', `no checkpoint has record ${recordId}`);
  return { made, vaultDocument: vault.digest, logKey, checkpoint: head.checkpoint, recordId };
}

async function committed(sequencer: Sequencer): Promise<void> {
  for (;;) {
    const result = await sequencer.tick();
    const halted = sequencer.halted();
    if (halted !== undefined) throw halted;
    if (result === 'nothing') return;
    if (result !== 'published') throw new VaultError('store_unavailable', 'the access log could not be signed: is a vault running?');
  }
}

const stays = (ring: KeyRing, kek: KeyVersion) =>
  new VaultError(
    'key_in_use',
    `${kekName(kek)} of ${ring.namespace} is needed and not in this HSM: wv keys migrate, and let the rewrap finish`,
  );

/** A version that nothing needs may stay: for backups from before. */
async function assertNothingStays(old: StoredVault, keys: KeyProvider): Promise<void> {
  const { rings, wrapped } = await old.stores.unitOfWork.run(async (tx) => {
    const vault = { ...old, kek: old.identity.kek };
    return { rings: await keyRings(tx, vault), wrapped: await wrappedUnder(tx, vault) };
  });
  const unreadable = wrapped.get(UNREADABLE) ?? 0;
  if (unreadable > 0) throw new VaultError('key_in_use', `${unreadable} wrapped keys cannot be read: nobody knows which version they need`);
  for (const ring of rings) {
    for (const kek of ring.keks) {
      const needed = KEY_USES[kek.state].wraps || kek.state === 'pre-activation' || (wrapped.get(kekName(kek)) ?? 0) > 0;
      if (needed && !(await holds(keys, kek))) throw stays(ring, kek);
    }
  }
}

async function holds(keys: KeyProvider, kek: KeyVersion): Promise<boolean> {
  const found = await keys.describe({ id: kek.id, version: kek.version }).catch((error) => {
    if (codeOf(error) !== 'key_unknown') throw error;
  });
  return found !== undefined;
}

export interface SignedAgain {
  /** By the new log key. */
  readonly checkpoint: Uint8Array | undefined;
  /** Stay in the former HSM: backups from before open with them alone. */
  readonly left: readonly string[];
}

/** `copy` is the stored vault as it was announced, in a copy of its database. */
export async function signAllAgain(
  { copy, keys, accessLog }: { readonly copy: StoredVault; readonly keys: KeyProvider; readonly accessLog: Vault['accessLog'] },
  { made }: Announced,
  now: Date,
): Promise<SignedAgain> {
  const sign = (message: Uint8Array) => keys.sign(made.catalogue.ref, message);
  await signAgain(sign, copy);
  const spki = Buffer.from(publicKeyOf(made.catalogue));
  const signed = { ...copy, catalogueKey: { publicKey: createPublicKey({ key: spki, format: 'der', type: 'spki' }), sign } };
  const rings = await copy.stores.unitOfWork.run((tx) => keyRings(tx, { ...signed, kek: copy.identity.kek }));
  const left: string[] = [];
  for (const ring of rings) {
    const behind = await behindIn(ring, keys);
    if (behind.length === 0) continue;
    left.push(...behind.map(kekName));
    const keks = ring.keks.map((kek) => (behind.includes(kek) ? { ...kek, leftAt: now.toISOString() } : kek));
    await putRing(ring, keks, { old: signed, accessLog, sign, now });
  }
  return { checkpoint: await signLogAgain(made.log, copy, keys), left };
}

async function behindIn(ring: KeyRing, keys: KeyProvider): Promise<readonly KeyVersion[]> {
  const behind = [];
  for (const kek of ring.keks) {
    if (kek.state !== 'destroyed' && kek.leftAt === undefined && !(await holds(keys, kek))) behind.push(kek);
  }
  return behind;
}

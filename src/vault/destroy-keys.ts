/** Carries out what two people decided, when its waiting period is over: destroys key versions in the HSM, and says so in ring and log. */
import { loggable } from '../audit/record.ts';
import { signDocument } from '../documents/document.ts';
import { codeOf, VaultError } from '../domain/errors.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import type { Destroyed, KeyRef } from '../keys/port.ts';
import { remaining } from './destroy-versions.ts';
import { type KeyRing, type KeyVersion, kekName, keyRing, keyRings, sameKey } from './key-ring.ts';
import { timeAfterLog } from './time-after-log.ts';
import type { Vault } from './vault.ts';
import { wrappedUnder } from './wrapped-under.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'kek' | 'keys' | 'accessLog'>;

export interface KeysDestroyed {
  /** Gone now, and there before. */
  readonly gone: readonly KeyRef[];
  /** Decided, and not to be done before `destroyAfter`. */
  readonly waiting: ReadonlyArray<KeyRef & { readonly destroyAfter: string }>;
}

/**
 * Each is destroyed in the HSM first, then the ring and the record say so in one transaction; interrupted in between, the next call finds the key
 * gone and goes on. Needs a keeper started for a ceremony. Throws `clock_regressed` when the clock stands before the log, and `key_in_use` when
 * something was wrapped under a version since it was decided.
 */
export async function destroyKeys(vault: Ports): Promise<KeysDestroyed> {
  const { rings, now } = await vault.stores.unitOfWork.run(async (tx) => ({
    rings: await keyRings(tx, vault),
    now: await timeAfterLog(tx, vault),
  }));
  const gone: KeyRef[] = [];
  const waiting: Array<KeyRef & { destroyAfter: string }> = [];
  for (const { namespace, keks } of rings) {
    for (const kek of keks) {
      const { id, version, state, destroyAfter } = kek;
      if (state !== 'destroyed' && destroyAfter === undefined) continue;
      if (destroyAfter !== undefined && state !== 'destroyed' && now < new Date(destroyAfter)) waiting.push({ id, version, destroyAfter });
      else if (await destroyKey(namespace, kek, vault)) gone.push({ id, version });
    }
  }
  return { gone, waiting };
}

/** False when it was destroyed and recorded before. */
async function destroyKey(namespace: KeyRing['namespace'], kek: KeyVersion, vault: Ports): Promise<boolean> {
  const ref = { id: kek.id, version: kek.version };
  if (kek.state === 'destroyed' && kek.leftAt !== undefined) return false; // the HSM that had it is another one
  const was = await assertUnused(kek, vault).then(() => destroyIn(ref, vault));
  if (was === undefined && kek.state === 'destroyed') return false;
  const { ring, now } = await vault.stores.unitOfWork.run(async (tx) => ({ ring: await keyRing(namespace, tx, vault), now: tx.now }));
  const document = kek.state === 'destroyed' ? undefined : await signDestroyed(ring, ref, now, vault);
  await vault.stores.unitOfWork.run(async (tx) => {
    if (document !== undefined) await putInForce(ring, document, tx, vault);
    await vault.accessLog.append(tx, {
      type: 'key.destroyed',
      outcome: 'success',
      actor: { kind: 'system' },
      key: ref,
      destruction: { keks: [kekName(ref)], remains: [...(await remaining([kek], tx, vault)), ...cancellable(ref, was)] },
      ...(document && { document: { kind: 'key-ring', digest: document.digest, counter: ring.counter + 1 } }),
      ...(document && namespace !== 'system' && { namespace }),
    });
  });
  return true;
}

async function assertUnused(kek: KeyVersion, vault: Ports): Promise<void> {
  if (kek.state === 'destroyed') return;
  const left = (await vault.stores.unitOfWork.run((tx) => wrappedUnder(tx, vault))).get(kekName(kek)) ?? 0;
  if (left > 0) throw new VaultError('key_in_use', `${left} keys are wrapped under ${kekName(kek)}`);
}

/** Destroys it. Undefined when the HSM, in good health, says that there is none. */
function destroyIn(ref: KeyRef, vault: Ports): Promise<Destroyed | undefined> {
  return vault.keys.destroy(ref).catch((error) => {
    if (codeOf(error) !== 'key_unknown') throw error;
    return undefined;
  });
}

/** Until that day the provider's own administrators could bring it back. */
function cancellable(ref: KeyRef, destroyed: Destroyed | undefined) {
  const until = destroyed?.cancellableUntil;
  return until === undefined ? [] : [{ what: 'cancellable-deletion' as const, id: loggable(kekName(ref), 128), until }];
}

/** With the consents of those who decided it. */
function signDestroyed(ring: KeyRing, ref: KeyRef, now: Date, vault: Ports) {
  const { namespace, cryptoperiodDays, destructionWaitDays, consents } = ring;
  const at = now.toISOString();
  const keks = ring.keks.map((kek) => (sameKey(kek, ref) ? { ...kek, state: 'destroyed' as const, destroyedAt: at } : { ...kek }));
  const head = { v: 2 as const, vaultId: vault.vaultId, createdAt: at, namespace, counter: ring.counter + 1 };
  return signDocument('key-ring', { ...head, cryptoperiodDays, destructionWaitDays, keks, consents }, vault.catalogueKey.sign);
}

async function putInForce(ring: KeyRing, document: Awaited<ReturnType<typeof signDestroyed>>, tx: Tx, vault: Ports): Promise<void> {
  await vault.stores.documents.put(tx, document);
  const pointer = { digest: document.digest, counter: ring.counter + 1 };
  if (!(await vault.stores.documents.point(tx, ring.namespace, 'key-ring', pointer))) throw new VaultError('document_stale');
}

/** What the operations share that change a key ring: the next document of it, with one version changed. */
import { setTimeout as sleep } from 'node:timers/promises';
import { signDocument } from '../../documents/document.ts';
import type { SignedDocument } from '../../documents/port.ts';
import { sha256Hex, utf8 } from '../../domain/bytes.ts';
import { addSeconds } from '../../domain/clock.ts';
import { codeOf, VaultError } from '../../domain/errors.ts';
import { type KeyId, type Namespace, newId, SYSTEM } from '../../domain/ids.ts';
import type { KeyState } from '../../domain/key-state.ts';
import type { KeyRef } from '../../keys/port.ts';
import { type KeyRing, type KeyVersion, kekName, keyRing, sameKey } from '../key-ring.ts';
import type { Operation, OperationPorts, Signing } from './operation.ts';

const NAME_CHARS = 64;
/** Longer than an HSM takes for an RSA pair: a client of the keeper gives up sooner. */
const MAKING_SECONDS = 30;
const LOOK_MS = 50;

export type KeyOperation = Extract<Operation, { readonly keyId: KeyId }>;

export const ringTarget = ({ namespace, counter }: { readonly namespace: Namespace; readonly counter: number }) => ({
  kind: 'key-ring' as const,
  namespace,
  counter,
});

export const refOf = ({ keyId, version }: KeyOperation): KeyRef => ({ id: keyId, version });

/** What the KEK of a ring is called. The vault's is of the ceremony; that of a namespace has a name no other can get. */
export function kekIdOf(ring: KeyRing, vault: Pick<OperationPorts, 'kek'>): KeyId {
  if (ring.namespace === SYSTEM) return vault.kek.id;
  const known = ring.keks[0]?.id;
  if (known !== undefined) return known;
  const own = `ns.${ring.namespace}`;
  return (own.length <= NAME_CHARS ? own : `nsh.${sha256Hex(utf8(ring.namespace)).slice(0, 32)}`) as KeyId; // of a name, so it is one
}

/** The version that a rotation makes active: one that was made for it, else one that is not there yet. A number is never used twice. */
export function nextVersion({ keks }: KeyRing): number {
  return keks.find(({ state }) => state === 'pre-activation')?.version ?? Math.max(0, ...keks.map(({ version }) => version)) + 1;
}

/** Throws `key_state_conflict` unless the version is in one of these states. */
export function assertState(ring: KeyRing, ref: KeyRef, allowed: readonly KeyState[]): KeyVersion {
  const found = ring.keks.find((one) => sameKey(one, ref));
  if (found === undefined || !allowed.includes(found.state)) {
    throw new VaultError('key_state_conflict', `${kekName(ref)} is ${found?.state ?? 'unknown'}`);
  }
  return found;
}

/** Signs the ring as it is now, with `change` applied, outside any transaction. */
export async function signRing(
  { namespace, counter }: { readonly namespace: Namespace; readonly counter: number },
  { head, consents }: Signing,
  vault: OperationPorts,
  change: (ring: KeyRing, now: string) => Partial<Pick<KeyRing, 'keks' | 'cryptoperiodDays' | 'destructionWaitDays'>>,
): Promise<SignedDocument> {
  const ring = await vault.stores.unitOfWork.run((tx) => keyRing(namespace, tx, vault));
  const { cryptoperiodDays, destructionWaitDays, keks } = { ...ring, ...change(ring, head.createdAt) };
  const periods = { cryptoperiodDays, destructionWaitDays };
  const body = { ...head, v: 2 as const, namespace, counter, ...periods, keks: keks.map((kek) => ({ ...kek })), consents };
  return signDocument('key-ring', body, vault.catalogueKey.sign);
}

/** The versions with one of them changed. */
export function changed(keks: readonly KeyVersion[], ref: KeyRef, to: Partial<KeyVersion>): KeyVersion[] {
  return keks.map((kek) => (sameKey(kek, ref) ? { ...kek, ...to } : kek));
}

/**
 * Makes the key, or finds the one that an interrupted operation left. It must be one that cannot leave the HSM. Resolves with what the ring records.
 * One process at a time: two nodes that made one version at once would each have a key of that name. `key_raced`, retryable, when the other takes long.
 */
export async function makeKek(ref: KeyRef, vault: Pick<OperationPorts, 'keys' | 'stores'>): Promise<Pick<KeyVersion, 'wrap'>> {
  const { unitOfWork, catalog } = vault.stores;
  const maker = newId<string>(await unitOfWork.run(async (tx) => tx.now));
  for (let waitedMs = 0; ; waitedMs += LOOK_MS) {
    if (await unitOfWork.run((tx) => catalog.acquireKeyMaking(tx, maker, addSeconds(tx.now, MAKING_SECONDS)))) break;
    if (waitedMs > MAKING_SECONDS * 1_000) throw new VaultError('key_raced', 'another process makes a key');
    await sleep(LOOK_MS);
  }
  try {
    return await makeAlone(ref, vault);
  } finally {
    await unitOfWork.run((tx) => catalog.releaseKeyMaking(tx, maker)).catch(() => undefined); // costs the next maker the rest of the lease
  }
}

async function makeAlone(ref: KeyRef, vault: Pick<OperationPorts, 'keys'>): Promise<Pick<KeyVersion, 'wrap'>> {
  await vault.keys.generate(ref, 'kek').catch((error) => {
    if (codeOf(error) !== 'key_exists') throw error;
  });
  const made = await vault.keys.describe(ref);
  if (made.purpose !== 'kek' || made.extractable)
    throw new VaultError('key_state_conflict', 'the HSM holds another kind of key of that name');
  return made.wrap === undefined ? {} : { wrap: { ...made.wrap } };
}

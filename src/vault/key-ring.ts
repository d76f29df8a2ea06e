/**
 * Which versions of a KEK there are, and what each may still do (domain/key-state.ts). The vault has one ring, in the namespace `system`; a
 * namespace may have its own, whose active version then wraps what is new there. The signed `key-ring` document says it; before the first change
 * the vault's has the one version of the ceremony.
 */
import type { Bodies } from '../documents/bodies.ts';
import { VaultError } from '../domain/errors.ts';
import { type KeyName, type Namespace, SYSTEM, type VaultId } from '../domain/ids.ts';
import { CRYPTOPERIOD_DAYS, DESTRUCTION_WAIT_DAYS, KEY_USES } from '../domain/key-state.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import type { KeyRef } from '../keys/port.ts';
import type { WrappedKey } from '../keys/wrapped-key.ts';
import { inForce } from './documents.ts';
import { codeOfStop, knownStops } from './stops.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'kek'>;

type RingBody = Extract<Bodies['key-ring'], { v: 2 }>;
export type KeyVersion = RingBody['keks'][number];

export interface KeyRing {
  readonly namespace: Namespace;
  /** 0 before the first change. */
  readonly counter: number;
  readonly cryptoperiodDays: number;
  readonly destructionWaitDays: number;
  /** Empty: the namespace has no KEK of its own. */
  readonly keks: readonly KeyVersion[];
  readonly consents: RingBody['consents'];
}

export async function keyRing(namespace: Namespace, tx: Tx, vault: Ports): Promise<KeyRing> {
  const ring = await inForce('key-ring', namespace, tx, vault);
  const usual = { namespace, cryptoperiodDays: CRYPTOPERIOD_DAYS.usual, destructionWaitDays: DESTRUCTION_WAIT_DAYS.usual, consents: [] };
  if (ring === undefined) return { ...usual, counter: 0, keks: namespace === SYSTEM ? [first(vault)] : [] };
  const { body, counter } = ring;
  if (body.v === 2) return body;
  const keks = body.keks.map((kek) => (sameKey(kek, vault.kek) ? { ...first(vault), ...kek } : kek));
  return { ...usual, counter, keks, consents: body.consents };
}

/** Every ring there is, the vault's first. */
export async function keyRings(tx: Tx, vault: Ports): Promise<readonly KeyRing[]> {
  const others = (await vault.stores.documents.slots(tx, 'key-ring')).map(({ namespace }) => namespace).filter((one) => one !== SYSTEM);
  const rings = [];
  for (const namespace of [SYSTEM, ...others]) rings.push(await keyRing(namespace, tx, vault));
  return rings;
}

/** The one version that wraps what is new in the namespace: of its own KEK when that has an active one, else of the vault's. */
export async function activeKek(namespace: Namespace, tx: Tx, vault: Ports): Promise<KeyRef> {
  const active = activeOf(await keyRing(namespace, tx, vault)) ?? activeOf(await keyRing(SYSTEM, tx, vault));
  if (active === undefined) throw new VaultError('key_state_conflict', 'no version of the KEK is active: rotate');
  return active;
}

/** As `activeKek`, for data keys: `key_suspended` while that version is stopped. Never another one in its place. */
export async function wrappingKek(namespace: Namespace, tx: Tx, vault: Ports): Promise<KeyRef> {
  const kek = await activeKek(namespace, tx, vault);
  await assertNotSuspended(kek, tx, vault);
  return kek;
}

export async function assertNotSuspended(kek: KeyRef, tx: Tx, vault: Omit<Ports, 'kek'>): Promise<void> {
  const stop = (await knownStops(tx, vault)).find((one) => !one.lifted && one.scope === 'key' && one.target === kekName(kek));
  if (stop !== undefined) throw new VaultError(codeOfStop(stop), kekName(kek));
}

/** Throws `key_state_conflict` unless weights may be sealed under a DEK that this version wrapped. */
export async function assertSeals(kek: KeyRef, namespace: Namespace, tx: Tx, vault: Ports): Promise<void> {
  await assertNotSuspended(kek, tx, vault);
  const state = (await versionInRings(kek, namespace, tx, vault))?.state;
  if (state === undefined || !KEY_USES[state].seals) {
    throw new VaultError('key_state_conflict', `${kekName(kek)} is ${state ?? 'unknown'}: start the version again`);
  }
}

/**
 * For opening a stored DEK: throws `key_unwrap_refused` for a version that the rings do not have, or a blob that was made in another way than
 * they recorded, and `key_state_conflict` for a version that opens nothing: a destroyed one may be back in a KMS.
 */
export async function assertOpens({ kek, tier, provider }: WrappedKey, namespace: Namespace, tx: Tx, vault: Ports): Promise<void> {
  await assertNotSuspended(kek, tx, vault);
  const found = await versionInRings(kek, namespace, tx, vault);
  if (found === undefined) throw new VaultError('key_unwrap_refused', `${kekName(kek)} is in no key ring of ${namespace}`);
  if (!KEY_USES[found.state].opens) throw new VaultError('key_state_conflict', `${kekName(kek)} is ${found.state}`);
  const { wrap } = found;
  if (wrap !== undefined && (wrap.tier !== tier || wrap.provider !== provider))
    throw new VaultError(
      'key_unwrap_refused',
      `${kekName(kek)} wraps in tier ${wrap.tier} of ${wrap.provider}, and this was wrapped otherwise`,
    );
}

/** In the vault's ring, or in the namespace's own. */
async function versionInRings(kek: KeyRef, namespace: Namespace, tx: Tx, vault: Ports): Promise<KeyVersion | undefined> {
  const rings = [await keyRing(SYSTEM, tx, vault), await keyRing(namespace, tx, vault)];
  return rings.flatMap(({ keks }) => keks).find((one) => sameKey(one, kek));
}

export function activeOf(ring: KeyRing): KeyRef | undefined {
  const active = activeVersion(ring);
  return active && { id: active.id, version: active.version };
}

export function activeVersion(ring: KeyRing): KeyVersion | undefined {
  return ring.keks.find(({ state }) => KEY_USES[state].wraps);
}

export const kekName = ({ id, version }: KeyRef): KeyName => `${id}/${version}` as KeyName; // of a branded id
export const sameKey = (a: KeyRef, b: KeyRef): boolean => a.id === b.id && a.version === b.version;

/** That of the ceremony. A vault's id is made there and begins with its time. */
function first({ kek, vaultId }: Pick<Vault, 'kek' | 'vaultId'>): KeyVersion {
  const madeAt = timeOfId(vaultId).toISOString();
  const { id, version, wrap } = kek;
  return { id, version, state: 'active', createdAt: madeAt, activatedAt: madeAt, ...(wrap && { wrap }) };
}

/** RFC 9562 section 5.7: the first 48 bits are milliseconds since 1970. */
export function timeOfId(id: VaultId | string): Date {
  return new Date(Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16));
}

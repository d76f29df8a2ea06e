/**
 * Which versions of the KEK there are, and what each may still do (key states of NIST SP 800-57 part 1, section 7): the active one wraps
 * and opens, deactivated ones only open, destroyed ones are gone. The signed `key-ring` document says it; before the first rotation there is none.
 */
import type { Bodies } from '../documents/bodies.ts';
import { fromBase64 } from '../domain/bytes.ts';
import { SYSTEM, type VersionId } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import type { KeyRef } from '../keys/port.ts';
import { decodeWrappedKey } from '../keys/wrapped-key.ts';
import { administratorInForce } from './administrators.ts';
import { inForce } from './documents.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'kek'>;

export type KeyVersion = Bodies['key-ring']['keks'][number];

export interface KeyRing {
  /** 0 before the first rotation. */
  readonly counter: number;
  readonly keks: readonly KeyVersion[];
}

export async function keyRing(tx: Tx, vault: Ports): Promise<KeyRing> {
  const ring = await inForce('key-ring', SYSTEM, tx, vault);
  return ring === undefined ? { counter: 0, keks: [{ ...vault.kek, state: 'active' }] } : { counter: ring.counter, keks: ring.body.keks };
}

/** The one version that wraps what is new. */
export async function activeKek(tx: Tx, vault: Ports): Promise<KeyRef> {
  return activeOf(await keyRing(tx, vault), vault);
}

export function activeOf(ring: KeyRing, vault: Pick<Vault, 'kek'>): KeyRef {
  const { id, version } = ring.keks.find(({ state }) => state === 'active') ?? vault.kek;
  return { id, version };
}

const PAGE = 500;

/** What a blob that cannot be read is counted under: it may need any of the versions. */
export const UNREADABLE = 'unreadable';

/** How many keys of the vault are wrapped under each version, counted from the wrapped blobs themselves: "id/version" -> number. */
export async function wrappedUnder(tx: Tx, vault: Ports): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  const count = (wrapped: Uint8Array) => {
    const name = nameIn(wrapped);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  };
  let after: VersionId | undefined;
  for (;;) {
    const page = await vault.stores.catalog.wrappedDeks(tx, PAGE, after);
    for (const { wrappedDek } of page) count(wrappedDek);
    if (page.length < PAGE) break;
    after = page.at(-1)?.versionId;
  }
  for (const { administratorId } of await vault.stores.identity.administrators(tx)) {
    const { authenticator } = (await administratorInForce(administratorId, tx, vault)) ?? {};
    if (authenticator !== undefined) count(fromBase64(authenticator.wrappedSeed));
  }
  return counts;
}

function nameIn(wrapped: Uint8Array): string {
  try {
    return kekName(decodeWrappedKey(wrapped).kek);
  } catch {
    return UNREADABLE;
  }
}

export const kekName = ({ id, version }: KeyRef): string => `${id}/${version}`;

/** Reading the signed documents that rows point at. Each is verified once per process and cached under its digest, which fixes its content. */

import type { Bodies } from '../documents/bodies.ts';
import { verifyDocument } from '../documents/document.ts';
import type { DocumentKind, Slot } from '../documents/port.ts';
import { VaultError } from '../domain/errors.ts';
import type { Digest, Namespace } from '../domain/ids.ts';
import { LruMap } from '../domain/lru-map.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import type { CatalogueKey, Vault } from './vault.ts';

const CACHED_DOCUMENTS = 512;
const caches = new WeakMap<CatalogueKey, LruMap<string, Bodies[DocumentKind]>>();

type Ports = Pick<Vault, 'stores' | 'catalogueKey' | 'vaultId'>;

/** The verified body of the document of that digest. Throws `document_invalid` when it is absent, altered or of another kind or vault. */
export async function readDocument<K extends DocumentKind>(kind: K, digest: Digest, tx: Tx, vault: Ports): Promise<Bodies[K]> {
  const cache = cacheOf(vault.catalogueKey);
  const cached = cache.get(`${kind} ${digest}`);
  if (cached !== undefined) return cached as Bodies[K]; // stored under its own kind
  const document = await vault.stores.documents.get(tx, digest);
  if (document === undefined) throw new VaultError('document_invalid', `${kind} ${digest} is missing`);
  const body = verifyDocument(document, { kind, digest }, vault.catalogueKey.publicKey);
  if (body.vaultId !== vault.vaultId) throw new VaultError('document_invalid', `${kind} ${digest} belongs to another vault`);
  cache.set(`${kind} ${digest}`, body);
  return body;
}

/** The document in force in a slot of a namespace, or undefined when there is none. Its counter and namespace must be the pointer's. */
export async function inForce<S extends Slot>(
  slot: S,
  namespace: Namespace,
  tx: Tx,
  vault: Ports,
): Promise<{ readonly digest: Digest; readonly counter: number; readonly body: Bodies[S] } | undefined> {
  const pointer = await vault.stores.documents.current(tx, namespace, slot);
  if (pointer === undefined) return undefined;
  const body = await readDocument(slot, pointer.digest, tx, vault);
  if (body.namespace !== namespace || body.counter !== pointer.counter) {
    throw new VaultError('document_invalid', `${slot} ${pointer.digest} is not the one this slot may point at`);
  }
  assertNotRolledBack(slot, namespace, pointer.counter, vault.catalogueKey);
  return { ...pointer, body };
}

const highest = new WeakMap<CatalogueKey, Map<string, number>>();

/** A counter never falls: a process that has seen a newer document refuses an older one. After a restart only the log can tell. */
function assertNotRolledBack(slot: Slot, namespace: Namespace, counter: number, key: CatalogueKey): void {
  const seen = highest.get(key) ?? new Map<string, number>();
  highest.set(key, seen);
  const name = `${namespace} ${slot}`;
  if (counter < (seen.get(name) ?? 0))
    throw new VaultError('document_invalid', `${slot} of ${namespace} was pointed back to an older document`);
  seen.set(name, counter);
}

function cacheOf(key: CatalogueKey): LruMap<string, Bodies[DocumentKind]> {
  const cache = caches.get(key) ?? new LruMap<string, Bodies[DocumentKind]>(CACHED_DOCUMENTS);
  caches.set(key, cache);
  return cache;
}

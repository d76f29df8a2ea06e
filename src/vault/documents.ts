/** Reading the signed documents that rows point at. Each is verified once per process and cached under its digest, which fixes its content. */

import type { Bodies } from '../documents/bodies.ts';
import { verifyDocument } from '../documents/document.ts';
import type { DocumentKind, Slot, SlotKind } from '../documents/port.ts';
import { VaultError } from '../domain/errors.ts';
import { type Digest, type Namespace, SYSTEM } from '../domain/ids.ts';
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

export interface InForce<K extends SlotKind> {
  readonly digest: Digest;
  readonly counter: number;
  readonly body: Bodies[K];
}

/** The slot of a kind, or of one item of it: an alias, a model, a person. */
export function slotOf(kind: SlotKind, item?: string): Slot {
  return item === undefined ? kind : `${kind}:${item}`;
}

/**
 * The document in force of a kind in a namespace (for `item`, where there are several), or undefined when there is none. Its counter and
 * namespace must be the pointer's, and not older than what this process has seen. That its content names `item` is the caller's to check.
 */
export async function inForce<K extends SlotKind>(
  kind: K,
  namespace: Namespace,
  tx: Tx,
  vault: Ports,
  item?: string,
): Promise<InForce<K> | undefined> {
  const slot = slotOf(kind, item);
  const pointer = await vault.stores.documents.current(tx, namespace, slot);
  assertNotRolledBack(slot, namespace, pointer?.counter ?? 0, vault.catalogueKey);
  if (pointer === undefined) return undefined;
  const body = await readDocument(kind, pointer.digest, tx, vault);
  if (namespaceOf(body) !== namespace || body.counter !== pointer.counter) {
    throw new VaultError('document_invalid', `${slot} ${pointer.digest} is not the one this slot may point at`);
  }
  return { ...pointer, body };
}

/** A person belongs to the vault as a whole; everything else that can be in force says its namespace. */
function namespaceOf(body: Bodies[SlotKind]): Namespace {
  return 'namespace' in body ? body.namespace : SYSTEM;
}

const highest = new WeakMap<CatalogueKey, Map<string, number>>();

/** What the access log says came in force: nothing older counts in this process from now on (recollect.ts). */
export function rememberCounter(slot: Slot, namespace: Namespace, counter: number, key: CatalogueKey): void {
  const seen = highest.get(key) ?? new Map<string, number>();
  highest.set(key, seen);
  const name = `${namespace} ${slot}`;
  seen.set(name, Math.max(counter, seen.get(name) ?? 0));
}

/** A counter never falls: a process that has seen a newer document, or its record in the access log, refuses an older one. */
function assertNotRolledBack(slot: Slot, namespace: Namespace, counter: number, key: CatalogueKey): void {
  if (counter < (highest.get(key)?.get(`${namespace} ${slot}`) ?? 0))
    throw new VaultError('document_invalid', `${slot} of ${namespace} was pointed back to an older document`);
  if (counter > 0) rememberCounter(slot, namespace, counter, key); // of what never was there is nothing to keep: anyone may ask for any namespace
}

function cacheOf(key: CatalogueKey): LruMap<string, Bodies[DocumentKind]> {
  const cache = caches.get(key) ?? new LruMap<string, Bodies[DocumentKind]>(CACHED_DOCUMENTS);
  caches.set(key, cache);
  return cache;
}

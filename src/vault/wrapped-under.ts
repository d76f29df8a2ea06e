/** What is wrapped under which version of a KEK, counted from the wrapped blobs themselves: a row can lie, a blob opens under one version only. */
import { fromBase64 } from '../domain/bytes.ts';
import type { KeyName, Namespace, VersionId } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { decodeWrappedKey } from '../keys/wrapped-key.ts';
import { administratorInForce } from './administrators.ts';
import { kekName } from './key-ring.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'kek'>;

const PAGE = 500;

/** What a blob that cannot be read is counted under: it may need any of the versions. */
export const UNREADABLE = 'unreadable' as KeyName;

/** How many keys of the vault are wrapped under each version. */
export async function wrappedUnder(tx: Tx, vault: Ports): Promise<ReadonlyMap<KeyName, number>> {
  const counts = new Map<KeyName, number>();
  const count = (wrapped: Uint8Array) => {
    const name = wrapperOf(wrapped);
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

/** The version that a blob is wrapped under. */
export function wrapperOf(wrapped: Uint8Array): KeyName {
  try {
    return kekName(decodeWrappedKey(wrapped).kek);
  } catch {
    return UNREADABLE;
  }
}

/** The same of a version's row as the transaction sees it; undefined when there is no row. */
export async function wrapperOfVersion(
  { namespace, versionId }: { readonly namespace: Namespace; readonly versionId: VersionId },
  tx: Tx,
  vault: Pick<Vault, 'stores'>,
): Promise<{ readonly kek?: KeyName }> {
  const row = await vault.stores.catalog.version(tx, namespace, versionId);
  return row === undefined ? {} : { kek: wrapperOf(row.wrappedDek) };
}

/** The unwrap stage: from a RecordedPermit to a leased DEK. */
import type { RecordedPermit } from '../domain/access.ts';
import { VaultError } from '../domain/errors.ts';
import type { DekLease } from '../keys/dek-leases.ts';
import { decodeWrappedKey, dekWrapAad } from '../keys/wrapped-key.ts';
import { assertOpens } from './key-ring.ts';
import type { Vault } from './vault.ts';
import { isDestroyed } from './version-destruction.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'kek' | 'deks'>;

/**
 * Leases the DEK of the permitted version: at most one HSM call per version and process. Release the lease when done. `key_suspended` while
 * the KEK version that it is wrapped under is, and as `assertOpens`, as the same transaction sees it that reads the wrapped key.
 */
export async function unwrapDek(permit: RecordedPermit, vault: Ports): Promise<DekLease> {
  const wrapped = await vault.stores.unitOfWork.run(async (tx) => {
    const row = await vault.stores.catalog.version(tx, permit.namespace, permit.versionId);
    if (row === undefined) throw new VaultError('manifest_mismatch', `version ${permit.versionId} has no row`);
    if (row.wrappedDek.length === 0 && (await isDestroyed(permit.namespace, permit.versionId, tx, vault)))
      throw new VaultError('version_destroyed', permit.versionId); // a signed document says so; an emptied row alone says nothing
    const blob = decodeWrappedKey(row.wrappedDek);
    await assertOpens(blob, permit.namespace, tx, vault);
    return blob;
  });
  // The context is the permit's, never the row's: a wrapped key moved to another row opens nothing.
  const aad = dekWrapAad({ ...permit, vaultId: vault.vaultId }, wrapped.kek);
  return vault.deks.lease(permit, wrapped, aad);
}

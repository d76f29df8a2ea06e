/** The unwrap stage: from a RecordedPermit to a leased DEK. */
import type { RecordedPermit } from '../domain/access.ts';
import { VaultError } from '../domain/errors.ts';
import type { DekLease } from '../keys/dek-leases.ts';
import { decodeWrappedKey, dekWrapAad } from '../keys/wrapped-key.ts';
import type { Vault } from './vault.ts';

/** Leases the DEK of the permitted version: at most one HSM call per version and process. Release the lease when done. */
export async function unwrapDek(permit: RecordedPermit, vault: Pick<Vault, 'vaultId' | 'stores' | 'deks'>): Promise<DekLease> {
  const row = await vault.stores.unitOfWork.run((tx) => vault.stores.catalog.version(tx, permit.namespace, permit.versionId));
  if (row === undefined) throw new VaultError('manifest_mismatch', `version ${permit.versionId} has no row`);
  const wrapped = decodeWrappedKey(row.wrappedDek);
  // The context is the permit's, never the row's: a wrapped key moved to another row opens nothing.
  const aad = dekWrapAad({ ...permit, vaultId: vault.vaultId }, wrapped.kek);
  return vault.deks.lease(permit, wrapped, aad);
}

/** Whether people decided that a version is destroyed, and asking for it. */
import type { Bodies } from '../documents/bodies.ts';
import { VaultError } from '../domain/errors.ts';
import type { Namespace, VersionId } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { type ApprovalAnswer, requestApproval } from './approve.ts';
import { type AdminActor, authorize } from './authorize.ts';
import { inForce } from './documents.ts';
import type { OperationPorts } from './operations/operation.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey'>;

export type VersionDestruction = Bodies['version-destruction'];

/** What was decided last about the version; undefined when nothing ever was. */
export async function destructionInForce(
  namespace: Namespace,
  versionId: VersionId,
  tx: Tx,
  vault: Ports,
): Promise<VersionDestruction | undefined> {
  const found = await inForce('version-destruction', namespace, tx, vault, versionId);
  if (found !== undefined && found.body.versionId !== versionId) throw new VaultError('document_invalid', 'it destroys another version');
  return found?.body;
}

/** It is destroyed, or waits for it: nobody gets it any more. */
export async function isDestroyed(namespace: Namespace, versionId: VersionId, tx: Tx, vault: Ports): Promise<boolean> {
  const state = (await destructionInForce(namespace, versionId, tx, vault))?.state;
  return state !== undefined && state !== 'kept';
}

/** Asks for a version to be destroyed after the waiting period, or for that decision to be taken back. */
export async function requestVersionDestruction(
  actor: AdminActor,
  { namespace, version: versionId }: { readonly namespace: Namespace; readonly version: VersionId },
  state: 'decided' | 'kept',
  vault: OperationPorts,
): Promise<ApprovalAnswer> {
  await authorize(actor, 'destroyKey', namespace, vault); // who may not ask learns nothing
  const { row, counter } = await vault.stores.unitOfWork.run(async (tx) => ({
    row: await vault.stores.catalog.version(tx, namespace, versionId),
    counter: (await destructionInForce(namespace, versionId, tx, vault))?.counter ?? 0,
  }));
  if (row === undefined) throw new VaultError('version_unknown', versionId);
  const { modelId, versionDigest } = row;
  const about = { namespace, counter: counter + 1, modelId, versionId, ...(versionDigest && { versionDigest }) };
  return requestApproval(actor, { kind: 'destroy-version', ...about, state }, vault);
}

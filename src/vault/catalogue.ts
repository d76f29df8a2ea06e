/** What administrators see of models, and of the documents in force. */

import type { Slot } from '../documents/port.ts';
import { VaultError } from '../domain/errors.ts';
import type { Namespace } from '../domain/ids.ts';
import { type AdminActor, authorize } from './authorize.ts';
import { inForce } from './documents.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>;

/** A model and its newest hundred versions. */
export async function readModel(actor: AdminActor, namespace: Namespace, name: string, vault: Ports) {
  await authorize(actor, 'readCatalogue', namespace, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const model = await vault.stores.catalog.modelByName(tx, namespace, name);
    if (model === undefined) throw new VaultError('model_unknown', name);
    const versions = await vault.stores.catalog.versions(tx, namespace, model.modelId, 100);
    return {
      ...model,
      versions: versions.map(({ versionId, state, createdAt, versionDigest }) => ({ versionId, state, createdAt, versionDigest })),
    };
  });
}

/** The document in force in a slot, with the counter that the next one must exceed by one; counter 0 when there is none. */
export async function readSlot(actor: AdminActor, namespace: Namespace, slot: Slot, vault: Ports) {
  await authorize(actor, 'readCatalogue', namespace, vault);
  const current = await vault.stores.unitOfWork.run((tx) => inForce(slot, namespace, tx, vault));
  return current ?? { counter: 0 };
}

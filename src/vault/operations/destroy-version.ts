import { signDocument } from '../../documents/document.ts';
import { VaultError } from '../../domain/errors.ts';
import { SYSTEM } from '../../domain/ids.ts';
import type { Tx } from '../../domain/unit-of-work.ts';
import { keyRing } from '../key-ring.ts';
import { timeAfterLog } from '../time-after-log.ts';
import { destructionInForce } from '../version-destruction.ts';
import type { DestroyVersion, OperationPorts, OperationSpec } from './operation.ts';
import { activated, assertNext, putInForce } from './slot.ts';

const DAY_MS = 86_400_000;

/**
 * Two people decide that one version of a model is to be unreadable for ever. From then on it is released to nobody; after the waiting period its
 * wrapped key is erased, and once every KEK version that may have wrapped it is destroyed, a record says so (destroy-versions.ts). With
 * `state` kept the decision is taken back, while it waits.
 */
export const destroyVersion: OperationSpec<DestroyVersion> = {
  action: 'destroyKey',
  async check(operation, tx, vault) {
    await assertNext(target(operation), tx, vault);
    const { namespace, modelId, versionId, versionDigest, state } = operation;
    const row = await vault.stores.catalog.version(tx, namespace, versionId);
    if (row?.modelId !== modelId) throw new VaultError('version_unknown', versionId);
    if (row.versionDigest !== versionDigest) throw new VaultError('approval_changed', 'the version has another digest');
    const decided = await destructionInForce(namespace, versionId, tx, vault);
    const was = decided?.state ?? 'kept';
    if (was === 'erased' || was === 'destroyed') throw new VaultError('version_destroyed', versionId);
    if (was === state)
      throw new VaultError('version_state_conflict', state === 'kept' ? 'nobody decided to destroy it' : 'that is decided already');
    await timeAfterLog(tx, vault);
  },
  async sign(operation, { head, consents }, vault) {
    const { counter, modelId, versionId, versionDigest, state } = operation;
    const destroyAfter = await vault.stores.unitOfWork.run((tx) => dueDate(operation, tx, vault));
    const body = { ...head, counter, modelId, versionId, ...(versionDigest && { versionDigest }), state, destroyAfter, consents };
    return signDocument('version-destruction', body, vault.catalogueKey.sign);
  },
  apply: (operation, document, tx, vault) => putInForce(target(operation), document, tx, vault),
  record: (operation, document) => {
    const { modelId, versionId, versionDigest } = operation;
    return { ...activated(target(operation), document), object: { modelId, versionId, versionDigest } };
  },
};

const target = ({ namespace, counter, versionId }: DestroyVersion) => ({
  kind: 'version-destruction' as const,
  namespace,
  counter,
  item: versionId,
});

/** As many days as the ring says that wraps for the namespace. */
async function dueDate({ namespace }: DestroyVersion, tx: Tx, vault: OperationPorts): Promise<string> {
  const own = await keyRing(namespace, tx, vault);
  const { destructionWaitDays } = own.keks.length > 0 ? own : await keyRing(SYSTEM, tx, vault);
  return new Date((await timeAfterLog(tx, vault)).getTime() + destructionWaitDays * DAY_MS).toISOString();
}

import { signDocument } from '../../documents/document.ts';
import { CLASSES } from '../../domain/classes.ts';
import { VaultError } from '../../domain/errors.ts';
import { isRefusal } from '../../domain/evidence.ts';
import type { Tx } from '../../domain/unit-of-work.ts';
import { promotedVersion } from '../version.ts';
import type { OperationPorts, OperationSpec, SetAlias } from './operation.ts';
import { activated, assertNext, putInForce } from './slot.ts';

/** A name that moves: "prod" is this version of the model from now on. As many people as publishing that version took. */
export const setAlias: OperationSpec<SetAlias> = {
  action: 'setAlias',
  async check(operation, tx, vault) {
    await assertNext(target(operation), tx, vault);
    await namedVersion(operation, tx, vault);
  },
  async consentsNeeded(operation, tx, vault) {
    return CLASSES[(await namedVersion(operation, tx, vault)).class].publishApprovals;
  },
  sign({ modelId, counter, name, versionId, versionDigest }, { head, consents }, vault) {
    return signDocument('alias', { ...head, modelId, counter, name, versionId, versionDigest, consents }, vault.catalogueKey.sign);
  },
  apply: (operation, document, tx, vault) => putInForce(target(operation), document, tx, vault),
  record(operation, document) {
    const { modelId, versionId, versionDigest } = operation;
    return { ...activated(target(operation), document), object: { modelId, versionId, versionDigest } };
  },
};

const target = ({ namespace, counter, modelId, name }: SetAlias) => ({
  kind: 'alias' as const,
  namespace,
  counter,
  item: `${modelId}:${name}`,
});

/** Only a promoted version gets a name. */
async function namedVersion({ namespace, modelId, versionId, versionDigest }: SetAlias, tx: Tx, vault: OperationPorts) {
  const model = await vault.stores.catalog.model(tx, namespace, modelId);
  if (model === undefined) throw new VaultError('model_unknown', modelId);
  const version = await promotedVersion(model, versionId, tx, vault);
  if (isRefusal(version)) throw new VaultError(version.code, version.detail);
  if (version.versionDigest !== versionDigest) throw new VaultError('approval_changed', 'the version has another digest');
  return version;
}

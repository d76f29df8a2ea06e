import { signDocument } from '../../documents/document.ts';
import { VaultError } from '../../domain/errors.ts';
import { inForce } from '../documents.ts';
import type { OperationSpec, SetDecoy } from './operation.ts';
import { activated, assertNext, putInForce } from './slot.ts';

/** A model that nobody has a reason to ask for (vault/decoys.ts). */
export const setDecoy: OperationSpec<SetDecoy> = {
  action: 'setAlerts',
  async check(operation, tx, vault) {
    const { namespace, modelId, state } = operation;
    await assertNext(target(operation), tx, vault);
    if ((await vault.stores.catalog.model(tx, namespace, modelId)) === undefined) throw new VaultError('model_unknown', modelId);
    const now = (await inForce('decoy', namespace, tx, vault, modelId))?.body.state ?? 'ordinary';
    if (now === state) throw new VaultError('request_invalid', `the model is ${state} already`);
  },
  sign: ({ modelId, counter, state }, { head, consents }, vault) =>
    signDocument('decoy', { ...head, modelId, counter, state, consents }, vault.catalogueKey.sign),
  apply: (operation, document, tx, vault) => putInForce(target(operation), document, tx, vault),
  record: (operation, document) => ({ ...activated(target(operation), document), object: { modelId: operation.modelId } }),
};

const target = ({ namespace, counter, modelId }: SetDecoy) => ({ kind: 'decoy' as const, namespace, counter, item: modelId });

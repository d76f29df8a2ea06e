import { signDocument } from '../../documents/document.ts';
import { VaultError } from '../../domain/errors.ts';
import type { ChangeClass, OperationSpec } from './operation.ts';
import { activated, assertNext, putInForce } from './slot.ts';

/** What a model's class demands from now on, for versions published before too. Two people, up or down. */
export const changeClass: OperationSpec<ChangeClass> = {
  action: 'changeClass',
  async check(operation, tx, vault) {
    await assertNext(target(operation), tx, vault);
    const model = await vault.stores.catalog.model(tx, operation.namespace, operation.modelId);
    if (model === undefined) throw new VaultError('model_unknown', operation.modelId);
    if (model.class === operation.class) throw new VaultError('request_invalid', `the model is ${model.class} already`);
  },
  sign({ modelId, counter, class: to }, { head, consents }, vault) {
    return signDocument('class-change', { ...head, modelId, counter, class: to, consents }, vault.catalogueKey.sign);
  },
  async apply(operation, document, tx, vault) {
    await putInForce(target(operation), document, tx, vault);
    await vault.stores.catalog.setClass(tx, operation.namespace, operation.modelId, operation.class);
  },
  record: (operation, document) => ({
    ...activated(target(operation), document),
    object: { modelId: operation.modelId, class: operation.class },
  }),
};

const target = ({ namespace, counter, modelId }: ChangeClass) => ({ kind: 'class-change' as const, namespace, counter, item: modelId });

import { signDocument } from '../../documents/document.ts';
import { VaultError } from '../../domain/errors.ts';
import { SYSTEM } from '../../domain/ids.ts';
import type { OperationSpec, SetLogSinks } from './operation.ts';
import { activated, assertNext, putInForce } from './slot.ts';

/** Where records of the access log are sent. Of the vault as a whole, and replaced whole: who consents sees every sink that there will be. */
export const setLogSinks: OperationSpec<SetLogSinks> = {
  action: 'setLogSinks',
  async check(operation, tx, vault) {
    if (operation.namespace !== SYSTEM) throw new VaultError('request_invalid', `the access log is of the namespace ${SYSTEM}`);
    await assertNext(operation, tx, vault);
  },
  sign: ({ counter, sinks }, { head, consents }, vault) =>
    signDocument('log-sinks', { ...head, counter, sinks: [...sinks], consents }, vault.catalogueKey.sign),
  apply: putInForce,
  record: activated,
};

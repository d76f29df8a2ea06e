/** The rules that watch the log, and where what they raise is sent. Both are of the vault as a whole. */
import { loadRuleSet } from '../../audit/alerts/rule-set.ts';
import { signDocument } from '../../documents/document.ts';
import { VaultError } from '../../domain/errors.ts';
import { type Namespace, SYSTEM } from '../../domain/ids.ts';
import type { OperationSpec, SetAlertDelivery, SetAlertRules } from './operation.ts';
import { activated, assertNext, putInForce } from './slot.ts';

export const setAlertRules: OperationSpec<SetAlertRules> = {
  action: 'setAlerts',
  async check(operation, tx, vault) {
    assertOfVault(operation.namespace);
    await assertNext(operation, tx, vault);
    loadRuleSet(operation.rules);
  },
  sign: ({ counter, rules }, { head, consents }, vault) =>
    signDocument('alert-rules', { ...head, counter, rules: { ...rules }, consents }, vault.catalogueKey.sign),
  apply: putInForce,
  record: activated,
};

export const setAlertDelivery: OperationSpec<SetAlertDelivery> = {
  action: 'setAlerts',
  async check(operation, tx, vault) {
    assertOfVault(operation.namespace);
    await assertNext(operation, tx, vault);
  },
  sign: ({ counter, targets, heartbeatSeconds }, { head, consents }, vault) =>
    signDocument('alert-delivery', { ...head, counter, targets: [...targets], heartbeatSeconds, consents }, vault.catalogueKey.sign),
  apply: putInForce,
  record: activated,
};

function assertOfVault(namespace: Namespace): void {
  if (namespace !== SYSTEM) throw new VaultError('request_invalid', 'alerts are of the vault as a whole: namespace system');
}

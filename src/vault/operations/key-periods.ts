import { VaultError } from '../../domain/errors.ts';
import { CRYPTOPERIOD_DAYS, DESTRUCTION_WAIT_DAYS } from '../../domain/key-state.ts';
import { keyRing } from '../key-ring.ts';
import { ringTarget, signRing } from './key-ring.ts';
import type { OperationSpec, SetKeyPeriods } from './operation.ts';
import { activated, assertNext, putInForce } from './slot.ts';

/** How long a version should be used, and how long a decision to destroy one waits. What was decided before keeps its own date. */
export const setKeyPeriods: OperationSpec<SetKeyPeriods> = {
  action: 'rotateKey',
  async check(operation, tx, vault) {
    await assertNext(ringTarget(operation), tx, vault);
    assertDays(operation.cryptoperiodDays, CRYPTOPERIOD_DAYS);
    assertDays(operation.destructionWaitDays, DESTRUCTION_WAIT_DAYS);
    const { keks } = await keyRing(operation.namespace, tx, vault);
    if (keks.length === 0) throw new VaultError('key_state_conflict', `${operation.namespace} has no KEK of its own`);
  },
  sign: (operation, signing, vault) => {
    const { cryptoperiodDays, destructionWaitDays } = operation;
    return signRing(operation, signing, vault, () => ({ cryptoperiodDays, destructionWaitDays }));
  },
  apply: (operation, document, tx, vault) => putInForce(ringTarget(operation), document, tx, vault),
  record: (operation, document) => activated(ringTarget(operation), document),
};

function assertDays(days: number, { least, most }: { readonly least: number; readonly most: number }): void {
  if (!Number.isInteger(days) || days < least || days > most) throw new VaultError('request_invalid', `${least} to ${most} days`);
}

import { VaultError } from '../../domain/errors.ts';
import type { Tx } from '../../domain/unit-of-work.ts';
import { kekName, keyRing } from '../key-ring.ts';
import { timeAfterLog } from '../time-after-log.ts';
import { UNREADABLE, wrappedUnder } from '../wrapped-under.ts';
import { assertState, changed, refOf, ringTarget, signRing } from './key-ring.ts';
import type { DestroyKey, KeepKey, OperationPorts, OperationSpec } from './operation.ts';
import { activated, assertNext, putInForce } from './slot.ts';

const DAY_MS = 86_400_000;

/**
 * Two people decide that a version of a KEK is to be no more. It waits as many days as the ring says, then `wv keys erase` does it on the
 * HSM's host (destroy-keys.ts): the vault's own keeper destroys nothing. Refused while anything is still wrapped under that version.
 */
export const destroyKey: OperationSpec<DestroyKey> = {
  action: 'destroyKey',
  async check(operation, tx, vault) {
    await assertNext(ringTarget(operation), tx, vault);
    const ref = refOf(operation);
    const found = assertState(await keyRing(operation.namespace, tx, vault), ref, ['deactivated', 'compromised', 'pre-activation']);
    if (found.destroyAfter !== undefined) throw new VaultError('key_state_conflict', `${kekName(ref)} waits to be destroyed already`);
    await assertUnused(operation, tx, vault);
    await timeAfterLog(tx, vault);
  },
  async sign(operation, signing, vault) {
    const since = await vault.stores.unitOfWork.run((tx) => timeAfterLog(tx, vault));
    return signRing(operation, signing, vault, ({ keks, destructionWaitDays }) => ({
      keks: changed(keks, refOf(operation), { destroyAfter: new Date(since.getTime() + destructionWaitDays * DAY_MS).toISOString() }),
    }));
  },
  apply: (operation, document, tx, vault) => putInForce(ringTarget(operation), document, tx, vault),
  record: (operation, document) => ({ ...activated(ringTarget(operation), document), key: refOf(operation) }),
};

/** The decision is taken back. */
export const keepKey: OperationSpec<KeepKey> = {
  action: 'destroyKey',
  async check(operation, tx, vault) {
    await assertNext(ringTarget(operation), tx, vault);
    const ref = refOf(operation);
    const found = assertState(await keyRing(operation.namespace, tx, vault), ref, ['deactivated', 'compromised', 'pre-activation']);
    if (found.destroyAfter === undefined) throw new VaultError('key_state_conflict', `${kekName(ref)} does not wait to be destroyed`);
  },
  sign: (operation, signing, vault) =>
    signRing(operation, signing, vault, ({ keks }) => ({ keks: changed(keks, refOf(operation), { destroyAfter: undefined }) })),
  apply: (operation, document, tx, vault) => putInForce(ringTarget(operation), document, tx, vault),
  record: (operation, document) => ({ ...activated(ringTarget(operation), document), key: refOf(operation) }),
};

async function assertUnused(operation: DestroyKey, tx: Tx, vault: OperationPorts): Promise<void> {
  const name = kekName(refOf(operation));
  const wrapped = await wrappedUnder(tx, vault);
  const left = (wrapped.get(name) ?? 0) + (wrapped.get(UNREADABLE) ?? 0);
  if (left > 0) throw new VaultError('key_in_use', `${left} keys are wrapped under ${name}, or cannot be read`);
}

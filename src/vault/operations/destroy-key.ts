import { signDocument } from '../../documents/document.ts';
import { VaultError } from '../../domain/errors.ts';
import { kekName, keyRing, UNREADABLE, wrappedUnder } from '../key-ring.ts';
import type { DestroyKey, OperationSpec } from './operation.ts';
import { activated, assertNext, putInForce } from './slot.ts';

/**
 * Two people decide that a deactivated version of the KEK is to be no more. The vault's own keeper destroys nothing: with this document in
 * force, `wv keys erase` does it on the HSM's host (destroy-keys.ts). Refused while anything is still wrapped under that version.
 */
export const destroyKey: OperationSpec<DestroyKey> = {
  action: 'destroyKey',
  async check(operation, tx, vault) {
    await assertNext(target(operation), tx, vault);
    const ref = { id: operation.keyId, version: operation.version };
    const { keks } = await keyRing(tx, vault);
    const state = keks.find(({ id, version }) => id === ref.id && version === ref.version)?.state;
    if (state !== 'deactivated') throw new VaultError('key_state_conflict', `${kekName(ref)} is ${state ?? 'unknown'}`);
    const wrapped = await wrappedUnder(tx, vault);
    const left = (wrapped.get(kekName(ref)) ?? 0) + (wrapped.get(UNREADABLE) ?? 0);
    if (left > 0) throw new VaultError('key_in_use', `${left} keys are wrapped under ${kekName(ref)}, or cannot be read`);
  },
  async sign({ counter, keyId, version }, { head, consents }, vault) {
    const { keks } = await vault.stores.unitOfWork.run((tx) => keyRing(tx, vault));
    const after = keks.map((kek) => (kek.id === keyId && kek.version === version ? { ...kek, state: 'destroyed' as const } : kek));
    return signDocument('key-ring', { ...head, counter, keks: after, consents }, vault.catalogueKey.sign);
  },
  apply: (operation, document, tx, vault) => putInForce(target(operation), document, tx, vault),
  record: (operation, document) => ({
    ...activated(target(operation), document),
    key: { id: operation.keyId, version: operation.version },
  }),
};

const target = ({ namespace, counter }: DestroyKey) => ({ kind: 'key-ring' as const, namespace, counter });

import { signDocument } from '../../documents/document.ts';
import { codeOf, VaultError } from '../../domain/errors.ts';
import type { KeyRef } from '../../keys/port.ts';
import { keyRing } from '../key-ring.ts';
import type { OperationPorts, OperationSpec, RotateKey } from './operation.ts';
import { activated, assertNext, putInForce } from './slot.ts';

/**
 * The next version of the KEK becomes the active one, and the one before it is deactivated: it opens what it wrapped and wraps nothing more.
 * rewrap.ts then goes through what is wrapped. No ciphertext of weights is read or written.
 */
export const rotateKey: OperationSpec<RotateKey> = {
  action: 'rotateKey',
  async check(operation, tx, vault) {
    await assertNext(target(operation), tx, vault);
    const { keks } = await keyRing(tx, vault);
    const next = Math.max(...keks.map(({ version }) => version)) + 1;
    if (operation.keyId !== vault.kek.id || operation.version !== next) {
      throw new VaultError('key_state_conflict', `the next version of ${vault.kek.id} is ${next}`);
    }
  },
  async sign({ counter, keyId, version }, { head, consents }, vault) {
    const next = { id: keyId, version };
    await makeKek(next, vault);
    const { keks } = await vault.stores.unitOfWork.run((tx) => keyRing(tx, vault));
    const before = keks.map((kek) => (kek.state === 'active' ? { ...kek, state: 'deactivated' as const } : kek));
    const body = { ...head, counter, keks: [...before, { ...next, state: 'active' as const }], consents };
    return signDocument('key-ring', body, vault.catalogueKey.sign);
  },
  apply: (operation, document, tx, vault) => putInForce(target(operation), document, tx, vault),
  record: (operation, document) => ({
    ...activated(target(operation), document),
    type: 'key.rotated',
    key: { id: operation.keyId, version: operation.version },
  }),
};

const target = ({ namespace, counter }: RotateKey) => ({ kind: 'key-ring' as const, namespace, counter });

/** Makes the key, or finds the one that an interrupted rotation left. It must be one that cannot leave the HSM. */
async function makeKek(ref: KeyRef, vault: OperationPorts): Promise<void> {
  await vault.keys.generate(ref, 'kek').catch((error) => {
    if (codeOf(error) !== 'key_exists') throw error;
  });
  const made = await vault.keys.describe(ref);
  if (made.purpose !== 'kek' || made.extractable)
    throw new VaultError('key_state_conflict', 'the HSM holds another kind of key of that name');
}

import { signDocument } from '../../documents/document.ts';
import { fromBase64 } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import { SYSTEM } from '../../domain/ids.ts';
import { RECOVERY_KEY_BYTES, recoveryKeyId } from '../../keys/recovery-wrap.ts';
import { inForce } from '../documents.ts';
import type { OperationSpec, SetRecoveryKey } from './operation.ts';
import { activated, assertNext, putInForce } from './slot.ts';

/**
 * From now on every DEK is wrapped for this recovery key too; rewrap.ts goes through those there are. Or, withdrawn: for none, and the wraps are
 * deleted. The vault sees the public part only.
 */
export const setRecoveryKey: OperationSpec<SetRecoveryKey> = {
  action: 'rotateKey',
  async check(operation, tx, vault) {
    const { namespace, keyId, publicKey, shares, needed, state } = operation;
    if (namespace !== SYSTEM) throw new VaultError('request_invalid', `the recovery key is of the namespace ${SYSTEM}`);
    await assertNext(target(operation), tx, vault);
    const key = fromBase64(publicKey);
    if (key.length !== RECOVERY_KEY_BYTES || recoveryKeyId(key) !== keyId) {
      throw new VaultError('request_invalid', 'the public key is not the one that the id names');
    }
    if (needed > shares) throw new VaultError('request_invalid', 'more shares are needed than there are');
    const current = await inForce('recovery-key', SYSTEM, tx, vault);
    const was = current?.body.state === 'active' ? current.body.keyId : undefined;
    if (state === 'withdrawn' && was !== keyId) throw new VaultError('key_state_conflict', 'that recovery key is not in force');
    if (state === 'active' && was === keyId) throw new VaultError('key_state_conflict', 'that recovery key is in force already');
  },
  sign({ counter, keyId, publicKey, shares, needed, state }, { head, consents }, vault) {
    return signDocument('recovery-key', { ...head, counter, keyId, publicKey, shares, needed, state, consents }, vault.catalogueKey.sign);
  },
  async apply(operation, document, tx, vault) {
    await putInForce(target(operation), document, tx, vault);
    if (operation.state === 'withdrawn') await vault.stores.catalog.dropRecoveryWraps(tx);
  },
  record: (operation, document) => activated(target(operation), document),
};

const target = ({ namespace, counter }: SetRecoveryKey) => ({ kind: 'recovery-key' as const, namespace, counter });

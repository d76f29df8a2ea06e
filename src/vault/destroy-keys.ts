/** Carries out what two people decided: destroys, in the HSM, the key versions that the signed key ring calls destroyed. */
import { codeOf } from '../domain/errors.ts';
import type { KeyRef } from '../keys/port.ts';
import { keyRing } from './key-ring.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'kek' | 'keys' | 'accessLog'>;

/** Resolves with the versions that are gone now and were there before; each is recorded. Needs a keeper started for a ceremony. */
export async function destroyKeys(vault: Ports): Promise<readonly KeyRef[]> {
  const { keks } = await vault.stores.unitOfWork.run((tx) => keyRing(tx, vault));
  const gone: KeyRef[] = [];
  for (const { id, version } of keks.filter(({ state }) => state === 'destroyed')) {
    const ref = { id, version };
    const was = await vault.keys.destroy(ref).then(
      () => true,
      (error) => {
        if (codeOf(error) !== 'key_unknown') throw error;
        return false; // destroyed before
      },
    );
    if (!was) continue;
    gone.push(ref);
    await vault.stores.unitOfWork.run((tx) =>
      vault.accessLog.append(tx, { type: 'key.destroyed', outcome: 'success', actor: { kind: 'system' }, key: ref }),
    );
  }
  return gone;
}

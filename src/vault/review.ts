/** Reading the access log is itself recorded. What is read verifies without trusting this service (audit/verify.ts). */
import { loggable } from '../audit/record.ts';
import { VaultError } from '../domain/errors.ts';
import { SYSTEM } from '../domain/ids.ts';
import { type AdminActor, actorOf, authorize, personalOf } from './authorize.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>;

/** The newest signed checkpoint. Recorded as `log.read`: who reads a checkpoint is about to read the log. */
export async function readCheckpoint(actor: AdminActor, vault: Ports): Promise<Uint8Array> {
  await authorize(actor, 'readLog', SYSTEM, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const head = await vault.stores.log.head(tx);
    if (head === undefined) throw new VaultError('log_incomplete', 'no checkpoint was published yet');
    await vault.accessLog.append(tx, {
      type: 'log.read',
      outcome: 'success',
      actor: actorOf(actor),
      request: { requestId: loggable(actor.requestId, 64) },
      personal: personalOf(actor),
    });
    return head.checkpoint;
  });
}

/** One tile or entry bundle of the tree, by its C2SP path. */
export async function readTile(actor: AdminActor, path: string, vault: Ports): Promise<Uint8Array> {
  await authorize(actor, 'readLog', SYSTEM, vault);
  const tile = await vault.stores.unitOfWork.run((tx) => vault.stores.log.tile(tx, path));
  if (tile === undefined) throw new VaultError('log_incomplete', path);
  return tile;
}

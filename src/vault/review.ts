/** Reading the access log is itself recorded. What is read verifies without trusting this service (audit/verify.ts). */
import { loggable } from '../audit/record.ts';
import { VaultError } from '../domain/errors.ts';
import { SYSTEM } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { type AdminActor, actorOf, authorize, personalOf } from './authorize.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>;

/** The newest signed checkpoint. Recorded as `log.read`. */
export async function readCheckpoint(actor: AdminActor, vault: Ports): Promise<Uint8Array> {
  await authorize(actor, 'readLog', SYSTEM, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const head = await vault.stores.log.head(tx);
    if (head === undefined) throw new VaultError('log_incomplete', 'no checkpoint was published yet');
    await recordRead(actor, 'checkpoint', tx, vault);
    return head.checkpoint;
  });
}

/** One tile or entry bundle of the tree, by its C2SP path. Bundles hold records, so reading one is recorded too; hashes tell nothing. */
export async function readTile(actor: AdminActor, path: string, vault: Ports): Promise<Uint8Array> {
  await authorize(actor, 'readLog', SYSTEM, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const tile = await vault.stores.log.tile(tx, path);
    if (tile === undefined) throw new VaultError('log_incomplete', 'there is no such tile');
    if (path.startsWith('tile/entries/')) await recordRead(actor, path, tx, vault);
    return tile;
  });
}

async function recordRead(actor: AdminActor, path: string, tx: Tx, vault: Ports): Promise<void> {
  await vault.accessLog.append(tx, {
    type: 'log.read',
    outcome: 'success',
    detail: loggable(path, 128),
    actor: actorOf(actor),
    request: { requestId: loggable(actor.requestId, 64) },
    personal: personalOf(actor),
  });
}

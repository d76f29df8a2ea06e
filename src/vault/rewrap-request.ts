/** How fast keys are rewrapped, and going through all of them once more: what one administrator may ask for, because it changes no key. */
import { loggable } from '../audit/record.ts';
import { VaultError } from '../domain/errors.ts';
import { SYSTEM } from '../domain/ids.ts';
import { KEYS_PER_SECOND } from '../domain/key-state.ts';
import { type AdminActor, actorOf, authorize, personalOf } from './authorize.ts';
import { progressOf } from './keys.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>;

/** `key_state_conflict` before the first rotation: there is nothing to rewrap. Recorded. */
export async function requestRewrap(actor: AdminActor, asked: { readonly keysPerSecond?: number | undefined }, vault: Ports) {
  await authorize(actor, 'rotateKey', SYSTEM, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const job = await vault.stores.catalog.rewrapJob(tx);
    if (job === undefined) throw new VaultError('key_state_conflict', 'no key was ever rotated');
    const { finishedAt, after, ...rest } = job;
    const keysPerSecond = asked.keysPerSecond ?? job.keysPerSecond;
    if (keysPerSecond < KEYS_PER_SECOND.least || keysPerSecond > KEYS_PER_SECOND.most) throw new VaultError('request_invalid');
    const anew = { ...rest, done: 0, rewrapped: 0, failed: 0, waiting: 0, startedAt: tx.now };
    const next = { ...(finishedAt === undefined ? { ...rest, ...(after !== undefined && { after }) } : anew), keysPerSecond };
    await vault.stores.catalog.putRewrapJob(tx, next);
    await vault.accessLog.append(tx, {
      type: 'rewrap.requested',
      outcome: 'success',
      actor: actorOf(actor),
      request: { requestId: loggable(actor.requestId, 64) },
      detail: loggable(`${keysPerSecond} a second`, 64),
      personal: personalOf(actor),
    });
    return progressOf(next);
  });
}

/** That an administrator saw something that is no weight: a record of its own type, so that nobody takes one for the other. */
import { loggable } from '../audit/record.ts';
import type { Namespace } from '../domain/ids.ts';
import { type AdminActor, actorOf, personalOf } from './authorize.ts';
import type { Vault } from './vault.ts';

/** Durable when it resolves, and that is before anybody is answered. `what` names the reading and what was asked for. */
export async function recordMetadataRead(
  actor: AdminActor,
  what: string,
  namespace: Namespace | undefined,
  { stores, accessLog }: Pick<Vault, 'stores' | 'accessLog'>,
): Promise<void> {
  await stores.unitOfWork.run((tx) =>
    accessLog.append(tx, {
      type: 'metadata.read',
      outcome: 'success',
      detail: loggable(what, 256),
      namespace,
      actor: actorOf(actor),
      request: { requestId: loggable(actor.requestId, 64) },
      personal: personalOf(actor),
    }),
  );
}

import { loggable } from '../audit/record.ts';
import { VaultError } from '../domain/errors.ts';
import type { Namespace } from '../domain/ids.ts';
import { type AdminActor, actorOf, authorize, personalOf } from './authorize.ts';
import { readDocument } from './documents.ts';
import { endOverdueReleases } from './outcome.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'node' | 'stores' | 'catalogueKey' | 'accessLog' | 'revocations' | 'meter'>;

/**
 * Blocks a requester: in force when this resolves, and no node sends it another byte later than 5 s after (promise P3).
 * Blocking one that is blocked is no change. Lifting a block takes two people and is not offered yet.
 */
export async function blockSubject(actor: AdminActor, namespace: Namespace, name: string, vault: Ports): Promise<void> {
  await authorize(actor, 'blockRequester', namespace, vault);
  await vault.stores.unitOfWork.run(async (tx) => {
    const subject = await vault.stores.identity.subjectByName(tx, namespace, name);
    if (subject === undefined) throw new VaultError('subject_unknown', name);
    // The signed document says whose name this is; the row alone could send the block to another machine.
    const signed = await readDocument('attester', subject.documentDigest, tx, vault);
    if (signed.name !== name || signed.namespace !== namespace || signed.subjectId !== subject.subjectId) {
      throw new VaultError('document_invalid', `the row of requester ${name} is not what was signed`);
    }
    if (!(await vault.stores.releases.block(tx, { namespace, subjectId: subject.subjectId }))) return;
    await vault.accessLog.append(tx, {
      type: 'subject.blocked',
      outcome: 'success',
      namespace,
      actor: actorOf(actor),
      request: { requestId: loggable(actor.requestId, 64) },
      detail: loggable(`${name} ${subject.subjectId}`, 128),
      personal: personalOf(actor),
    });
  });
  await vault.revocations.refresh();
  await endOverdueReleases(vault);
}

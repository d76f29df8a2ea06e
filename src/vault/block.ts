import { VaultError } from '../domain/errors.ts';
import type { Namespace } from '../domain/ids.ts';
import type { Stop } from '../domain/stop.ts';
import type { AdminActor } from './authorize.ts';
import { readDocument } from './documents.ts';
import { placeStop, type StopPorts } from './stop.ts';

/** Stops a requester. `subject_unknown` when nobody of that name is enrolled in the namespace. */
export function blockSubject(actor: AdminActor, namespace: Namespace, name: string, vault: StopPorts): Promise<Stop> {
  return placeStop(actor, 'block', namespace, vault, async (tx) => {
    const subject = await vault.stores.identity.subjectByName(tx, namespace, name);
    if (subject === undefined) throw new VaultError('subject_unknown', name);
    // The signed document says whose name this is; the row alone could send the block to another machine.
    const signed = await readDocument('attester', subject.documentDigest, tx, vault);
    if (signed.name !== name || signed.namespace !== namespace || signed.subjectId !== subject.subjectId) {
      throw new VaultError('document_invalid', `the row of requester ${name} is not what was signed`);
    }
    return { scope: 'requester', target: subject.subjectId, name };
  });
}

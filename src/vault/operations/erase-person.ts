import { loggable } from '../../audit/record.ts';
import { signDocument } from '../../documents/document.ts';
import { VaultError } from '../../domain/errors.ts';
import { type AdministratorId, type Digest, SYSTEM } from '../../domain/ids.ts';
import { parseCanonicalJson } from '../../domain/json.ts';
import type { Tx } from '../../domain/unit-of-work.ts';
import { type AdministratorBody, administratorInForce } from '../administrators.ts';
import type { ErasePerson, OperationPorts, OperationSpec } from './operation.ts';
import { activated, assertNext, putInForce } from './slot.ts';

/** Documents read at a time. */
const PAGE = 200;

/**
 * Who a removed administrator was is forgotten: the disclosures of their name and addresses, what their documents and the requests about them spell.
 * Their id stays, and every record, proof and receipt as it was. A last document has the id in place of the name, so their slot cannot be pointed back.
 */
export const erasePerson: OperationSpec<ErasePerson> = {
  action: 'setAdministrator',
  async check(operation, tx, vault) {
    if (operation.namespace !== SYSTEM) throw new VaultError('request_invalid', `administrators are of the namespace ${SYSTEM}`);
    await assertNext(target(operation), tx, vault);
    await removedPerson(operation, tx, vault);
  },
  async sign(operation, { head: { v, vaultId, createdAt }, consents }, vault) {
    const { administratorId, counter } = operation;
    const { workstations } = await vault.stores.unitOfWork.run((tx) => removedPerson(operation, tx, vault));
    const nobody = { administratorId, counter, name: administratorId, state: 'removed' as const, roles: [], workstations };
    return signDocument('administrator', { v, vaultId, createdAt, ...nobody, consents }, vault.catalogueKey.sign);
  },
  async apply(operation, document, tx, vault) {
    const { administratorId } = operation;
    const { documents, identity, approvals, log } = vault.stores;
    const { name } = await removedPerson(operation, tx, vault);
    await putInForce(target(operation), document, tx, vault);
    const former = (await documentsOf(administratorId, tx, vault)).filter((digest) => digest !== document.digest);
    for (const digest of former) await documents.erase(tx, digest);
    const requests = await approvals.eraseAbout(tx, administratorId);
    await identity.forgetName(tx, administratorId);
    const { records, disclosures } = await log.eraseDisclosuresOf(tx, name);
    return loggable(`${disclosures} disclosures of ${records} records, ${former.length} documents, ${requests} requests`, 256);
  },
  record: (operation, document) => ({ ...activated(target(operation), document), type: 'person.erased' }),
  afterwards: (_operation, vault) => vault.stores.purgeDeleted(),
};

const target = ({ namespace, counter, administratorId }: ErasePerson) => ({
  kind: 'administrator' as const,
  namespace,
  counter,
  item: administratorId,
});

async function removedPerson({ administratorId }: ErasePerson, tx: Tx, vault: OperationPorts): Promise<AdministratorBody> {
  const person = await administratorInForce(administratorId, tx, vault);
  if (person === undefined || person.name === administratorId) throw new VaultError('administrator_unknown', administratorId);
  if (person.state === 'active') throw new VaultError('administrator_active', administratorId);
  return person;
}

async function documentsOf(administratorId: AdministratorId, tx: Tx, { stores }: OperationPorts): Promise<readonly Digest[]> {
  const found: Digest[] = [];
  for (let after: Digest | undefined; ; ) {
    const page = await stores.documents.page(tx, PAGE, after, 'administrator');
    for (const { digest, bytes } of page) {
      const body = parseCanonicalJson(bytes, 'document_invalid') as { readonly administratorId?: unknown }; // only compared: a forged one of theirs goes too
      if (body.administratorId === administratorId) found.push(digest);
    }
    after = page.at(-1)?.digest;
    if (page.length < PAGE) return found;
  }
}

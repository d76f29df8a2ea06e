/** Who is enrolled here, for those who review it: administrators and requesters as their signed documents say. Rows only find them. */
import { DEFAULTS } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import type { EvidenceKind } from '../domain/evidence.ts';
import { type AdministratorId, type Namespace, type SubjectId, SYSTEM } from '../domain/ids.ts';
import { covers } from '../domain/stop.ts';
import { administratorInForce } from './administrators.ts';
import { type AdminActor, authorize } from './authorize.ts';
import { readDocument } from './documents.ts';
import { knownStops } from './stops.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>;

export interface ListedAdministrator {
  readonly administratorId: AdministratorId;
  readonly name: string;
  readonly state: 'active' | 'removed';
  readonly roles: string[];
  /** Absent until the person has set one up. */
  readonly authenticator?: { readonly kind: string };
  /** How many: which ones is nobody's business here. */
  readonly workstations: number;
}

export interface ListedRequester {
  readonly subjectId: SubjectId;
  readonly name: string;
  readonly kind: EvidenceKind;
  readonly attributes: Record<string, string>;
  readonly blocked: boolean;
}

/** Everyone who was ever let in, removed ones too. Throws `document_invalid` when a row names somebody the documents do not. */
export async function listAdministrators(actor: AdminActor, vault: Ports): Promise<{ readonly administrators: ListedAdministrator[] }> {
  await authorize(actor, 'readCatalogue', SYSTEM, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const administrators: ListedAdministrator[] = [];
    for (const row of await vault.stores.identity.administrators(tx)) {
      const person = await administratorInForce(row.administratorId, tx, vault);
      if (person?.name !== row.name)
        throw new VaultError('document_invalid', `the row of administrator ${row.administratorId} is not what was signed`);
      const { administratorId, name, state, roles, authenticator, workstations } = person;
      const shown = authenticator && { authenticator: { kind: authenticator.kind } }; // not its seed, wrapped or not
      administrators.push({ administratorId, name, state, roles, ...shown, workstations: workstations.length });
    }
    return { administrators };
  });
}

/** A page of enrolled requesters in order of name; `next` is there when more follow: pass it as `after`. */
export async function listRequesters(
  actor: AdminActor,
  { namespace, after }: { readonly namespace: Namespace; readonly after?: string | undefined },
  vault: Ports,
): Promise<{ readonly requesters: ListedRequester[]; readonly next?: string }> {
  await authorize(actor, 'readCatalogue', namespace, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const rows = await vault.stores.identity.subjects(tx, namespace, DEFAULTS.listPage, after);
    const stops = await knownStops(tx, vault);
    const isBlocked = (subjectId: SubjectId) =>
      stops.some((stop) => stop.scope === 'requester' && !stop.lifted && covers(stop, { namespace, subjectId }));
    const requesters: ListedRequester[] = [];
    for (const row of rows) {
      const signed = await readDocument('attester', row.documentDigest, tx, vault);
      const { subjectId, name, kind, attributes } = signed;
      const sound = signed.namespace === namespace && subjectId === row.subjectId && name === row.name;
      if (!sound) throw new VaultError('document_invalid', `the row of requester ${row.subjectId} is not what was signed`);
      requesters.push({ subjectId, name, kind, attributes, blocked: isBlocked(subjectId) });
    }
    const last = rows.at(-1);
    return { requesters, ...(rows.length === DEFAULTS.listPage && last && { next: last.name }) };
  });
}

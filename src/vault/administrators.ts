/** Who an administrator is, as the signed document in force says: names, roles, authenticator, workstations. Rows only find it. */
import type { Bodies } from '../documents/bodies.ts';
import { isTampering, VaultError } from '../domain/errors.ts';
import { type AdministratorId, SYSTEM } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { inForce } from './documents.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey'>;

export type AdministratorBody = Bodies['administrator'];

/** Someone who has an authenticator. */
export type Equipped = AdministratorBody & { readonly authenticator: NonNullable<AdministratorBody['authenticator']> };

/** The person of that id, removed ones too; undefined when there never was one. Throws `document_invalid` when the slot holds another's. */
export async function administratorInForce(administratorId: AdministratorId, tx: Tx, vault: Ports): Promise<AdministratorBody | undefined> {
  const found = await inForce('administrator', SYSTEM, tx, vault, administratorId);
  if (found === undefined) return undefined;
  if (found.body.administratorId !== administratorId) throw new VaultError('document_invalid', 'the document is of another administrator');
  return found.body;
}

/** The person of that name, as their document says; undefined when there is none, or when the row leads to someone else. */
export async function administratorByName(name: string, tx: Tx, vault: Ports): Promise<AdministratorBody | undefined> {
  const row = await vault.stores.identity.administratorByName(tx, name);
  const person = row && (await administratorInForce(row.administratorId, tx, vault));
  return person?.name === name ? person : undefined;
}

/** Everyone who was not removed. Whose document was altered counts as nobody: they cannot log in, and keep nobody else from it. */
export async function activeAdministrators(tx: Tx, vault: Ports): Promise<readonly AdministratorBody[]> {
  const people = [];
  for (const { administratorId } of await vault.stores.identity.administrators(tx)) {
    const person = await administratorInForce(administratorId, tx, vault).catch(nobodyIfTampered);
    if (person?.state === 'active') people.push(person);
  }
  return people;
}

function nobodyIfTampered(error: unknown): undefined {
  if (error instanceof VaultError && isTampering(error.code)) return undefined;
  throw error;
}

/** The same person, if they can show a code. */
export function equipped(person: AdministratorBody | undefined): Equipped | undefined {
  const { authenticator } = person ?? {};
  return person?.state === 'active' && authenticator !== undefined ? { ...person, authenticator } : undefined;
}

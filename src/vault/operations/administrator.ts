import { signDocument } from '../../documents/document.ts';
import { VaultError } from '../../domain/errors.ts';
import { type AdministratorId, parseDigest, parseName, SYSTEM } from '../../domain/ids.ts';
import type { Tx } from '../../domain/unit-of-work.ts';
import { type AdministratorBody, activeAdministrators, administratorInForce } from '../administrators.ts';
import type { Operation, OperationPorts, OperationSpec, SetAdministrator } from './operation.ts';
import { activated, assertNext, putInForce } from './slot.ts';

/** The role without which nothing can be approved, and how many must be left who have it. */
const APPROVER = 'approver';
const APPROVERS_LEFT = 2;

/** A person is added, changed, removed for good, or sets up a new authenticator (claim.ts). Their sessions end with it. */
export const setAdministrator: OperationSpec<SetAdministrator> = {
  action: 'setAdministrator',
  async check(operation, tx, vault) {
    assertForm(operation);
    await assertNext(target(operation), tx, vault);
    const before = await administratorInForce(operation.administratorId, tx, vault);
    if (before === undefined) await assertNewcomer(operation, tx, vault);
    else assertChange(operation, before);
    await assertWorkstationsFree(operation, tx, vault);
    await assertApproversLeft(operation, before, tx, vault);
  },
  async sign(operation, { head: { v, vaultId, createdAt }, consents }, vault) {
    const { administratorId, counter, name, state, roles, workstations } = operation;
    const before = await vault.stores.unitOfWork.run((tx) => administratorInForce(administratorId, tx, vault));
    const kept = state === 'active' && operation.authenticator === 'keep' ? before?.authenticator : undefined;
    const who = { administratorId, counter, name, state, roles: [...roles], workstations: [...workstations] };
    const body = { v, vaultId, createdAt, ...who, ...(kept && { authenticator: kept }), consents };
    return signDocument('administrator', body, vault.catalogueKey.sign);
  },
  async apply(operation, document, tx, vault) {
    const { administratorId, name } = operation;
    if (operation.counter === 1) await vault.stores.identity.insertAdministrator(tx, { administratorId, name });
    await putInForce(target(operation), document, tx, vault);
    await vault.stores.identity.deleteSessionsOf(tx, administratorId);
    await vault.stores.identity.deleteClaim(tx, administratorId);
  },
  record: (operation, document) => activated(target(operation), document),
};

/** Whom an operation is about: nobody consents to a change of themself. */
export function concerns(operation: Operation): AdministratorId | undefined {
  return operation.kind === 'administrator' || operation.kind === 'erase-person' ? operation.administratorId : undefined;
}

const target = ({ counter, administratorId }: SetAdministrator) => ({
  kind: 'administrator' as const,
  namespace: SYSTEM,
  counter,
  item: administratorId,
});

function assertForm({ namespace, name, roles, workstations }: SetAdministrator): void {
  if (namespace !== SYSTEM) throw new VaultError('request_invalid', `administrators are of the namespace ${SYSTEM}`);
  parseName(name, 'name');
  for (const role of roles) parseName(role, 'role');
  for (const workstation of workstations) parseDigest(workstation, 'workstation');
  if (workstations.length === 0) throw new VaultError('request_invalid', 'a person has a workstation');
  for (const named of [roles, workstations]) {
    if (new Set(named).size !== named.length) throw new VaultError('request_invalid', 'a role or workstation is named twice');
  }
}

async function assertNewcomer({ name, state, authenticator }: SetAdministrator, tx: Tx, vault: OperationPorts): Promise<void> {
  if (await vault.stores.identity.administratorByName(tx, name)) throw new VaultError('administrator_exists', name);
  if (state !== 'active' || authenticator !== 'reset') {
    throw new VaultError('request_invalid', 'a new administrator is active and sets up an authenticator');
  }
}

function assertChange(operation: SetAdministrator, before: AdministratorBody): void {
  const { name, state, roles, workstations, authenticator } = operation;
  if (before.state === 'removed') throw new VaultError('administrator_unknown', `${before.name} was removed, for good`);
  if (before.name !== name) throw new VaultError('request_invalid', 'a name stays');
  const same = (a: readonly string[], b: readonly string[]) => a.length === b.length && a.every((one) => b.includes(one));
  const changed =
    state === 'removed' || authenticator === 'reset' || !same(roles, before.roles) || !same(workstations, before.workstations);
  if (!changed) throw new VaultError('request_invalid', `${name} is like that already`);
}

/** Two people on one workstation would be one. */
async function assertWorkstationsFree(
  { administratorId, state, workstations }: SetAdministrator,
  tx: Tx,
  vault: OperationPorts,
): Promise<void> {
  if (state === 'removed') return;
  for (const other of await activeAdministrators(tx, vault)) {
    const shared = other.workstations.some((one) => workstations.includes(one));
    if (shared && other.administratorId !== administratorId) throw new VaultError('workstation_taken', `it is ${other.name}'s`);
  }
}

/**
 * With fewer than two approvers nothing could be approved any more, their return included. Whoever has no authenticator does not count,
 * except the one whose authenticator this very operation takes away: they have lost it anyway.
 */
async function assertApproversLeft(
  operation: SetAdministrator,
  before: AdministratorBody | undefined,
  tx: Tx,
  vault: OperationPorts,
): Promise<void> {
  if (before === undefined || !before.roles.includes(APPROVER)) return; // nobody is lost
  const stays = operation.state === 'active' && operation.roles.includes(APPROVER);
  if (stays && operation.authenticator === 'keep') return; // nobody is lost
  const others = (await activeAdministrators(tx, vault)).filter(
    (one) => one.administratorId !== operation.administratorId && one.roles.includes(APPROVER) && one.authenticator !== undefined,
  );
  if (others.length + (stays ? 1 : 0) < APPROVERS_LEFT) throw new VaultError('administrators_too_few');
}

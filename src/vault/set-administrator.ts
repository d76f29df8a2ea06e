/** What administrators ask for about administrators. Each is the whole of what the person is to be, so that an approver sees all of it. */
import { VaultError } from '../domain/errors.ts';
import { type AdministratorId, type Digest, newId, SYSTEM } from '../domain/ids.ts';
import { type AdministratorBody, administratorByName } from './administrators.ts';
import { type ApprovalAnswer, requestApproval } from './approve.ts';
import { type AdminActor, authorize } from './authorize.ts';
import type { OperationPorts, SetAdministrator } from './operations/operation.ts';

export interface Newcomer {
  readonly name: string;
  readonly roles: readonly string[];
  readonly workstations: readonly Digest[];
}

/** Lets a person in. Once it is approved they set up their authenticator on one of the workstations (claim.ts). */
export async function requestNewcomer(actor: AdminActor, newcomer: Newcomer, vault: OperationPorts): Promise<ApprovalAnswer> {
  const administratorId = newId<AdministratorId>(await vault.stores.unitOfWork.run(async (tx) => tx.now));
  const anew = { counter: 1, administratorId, state: 'active' as const, authenticator: 'reset' as const };
  return requestApproval(actor, { kind: 'administrator', namespace: SYSTEM, ...newcomer, ...anew }, vault);
}

/** Other roles, other workstations; what is not named stays. */
export function requestChange(
  actor: AdminActor,
  change: { readonly name: string; readonly roles?: readonly string[] | undefined; readonly workstations?: readonly Digest[] | undefined },
  vault: OperationPorts,
): Promise<ApprovalAnswer> {
  return requestNext(actor, change.name, vault, ({ roles, workstations }) => ({
    roles: change.roles ?? roles,
    workstations: change.workstations ?? workstations,
  }));
}

/** For good: the name stays taken, until it is erased. */
export function requestRemoval(actor: AdminActor, name: string, vault: OperationPorts): Promise<ApprovalAnswer> {
  return requestNext(actor, name, vault, () => ({ state: 'removed' }));
}

/** Takes the authenticator away; the person sets up another. */
export function requestReset(actor: AdminActor, name: string, vault: OperationPorts): Promise<ApprovalAnswer> {
  return requestNext(actor, name, vault, () => ({ authenticator: 'reset' }));
}

/** Who a removed person was is erased, for good. Asked for by name; what is kept of the request names the id alone. */
export async function requestErasure(actor: AdminActor, name: string, vault: OperationPorts): Promise<ApprovalAnswer> {
  await authorize(actor, 'setAdministrator', SYSTEM, vault);
  const person = await vault.stores.unitOfWork.run((tx) => administratorByName(name, tx, vault));
  if (person === undefined) throw new VaultError('administrator_unknown', name);
  const { administratorId, counter } = person;
  return requestApproval(actor, { kind: 'erase-person', namespace: SYSTEM, counter: counter + 1, administratorId }, vault);
}

async function requestNext(
  actor: AdminActor,
  name: string,
  vault: OperationPorts,
  changed: (person: AdministratorBody) => Partial<SetAdministrator>,
): Promise<ApprovalAnswer> {
  await authorize(actor, 'setAdministrator', SYSTEM, vault); // who may not change people learns nothing of who there is
  const person = await vault.stores.unitOfWork.run((tx) => administratorByName(name, tx, vault));
  if (person === undefined) throw new VaultError('administrator_unknown', name);
  const { administratorId, counter, state, roles, workstations } = person;
  const same = { administratorId, counter: counter + 1, name, state, roles, workstations, authenticator: 'keep' as const };
  return requestApproval(actor, { kind: 'administrator', namespace: SYSTEM, ...same, ...changed(person) }, vault);
}

/** What administrators see of the key-encryption key, and ask for. */
import { VaultError } from '../domain/errors.ts';
import { SYSTEM } from '../domain/ids.ts';
import { type ApprovalAnswer, requestApproval } from './approve.ts';
import { type AdminActor, authorize } from './authorize.ts';
import { type KeyVersion, kekName, keyRing, UNREADABLE, wrappedUnder } from './key-ring.ts';
import type { OperationPorts } from './operations/operation.ts';

export interface KeyVersionSeen extends KeyVersion {
  /** DEKs and authenticator seeds that are wrapped under it. */
  readonly wrapped: number;
}

export interface KeysSeen {
  readonly counter: number;
  readonly keks: readonly KeyVersionSeen[];
  /** Wrapped blobs that cannot be read: altered rows. */
  readonly unreadable: number;
}

/** Every version of the KEK, its state, and how much is wrapped under it: after a rotation the old ones go to 0. */
export async function readKeys(actor: AdminActor, vault: OperationPorts): Promise<KeysSeen> {
  await authorize(actor, 'readCatalogue', SYSTEM, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const ring = await keyRing(tx, vault);
    const wrapped = await wrappedUnder(tx, vault);
    const keks = ring.keks.map((kek) => ({ ...kek, wrapped: wrapped.get(kekName(kek)) ?? 0 }));
    return { counter: ring.counter, keks, unreadable: wrapped.get(UNREADABLE) ?? 0 };
  });
}

/** Asks for the next version of the KEK. */
export async function requestRotation(actor: AdminActor, vault: OperationPorts): Promise<ApprovalAnswer> {
  const { counter, keks } = await vault.stores.unitOfWork.run((tx) => keyRing(tx, vault));
  const version = Math.max(...keks.map((kek) => kek.version)) + 1;
  return requestApproval(actor, { kind: 'rotate-key', namespace: SYSTEM, counter: counter + 1, keyId: vault.kek.id, version }, vault);
}

/** Asks for a deactivated version to be destroyed. */
export async function requestDestruction(actor: AdminActor, version: number, vault: OperationPorts): Promise<ApprovalAnswer> {
  const { counter, keks } = await vault.stores.unitOfWork.run((tx) => keyRing(tx, vault));
  if (!keks.some((kek) => kek.version === version)) throw new VaultError('key_state_conflict', `there is no version ${version}`);
  return requestApproval(actor, { kind: 'destroy-key', namespace: SYSTEM, counter: counter + 1, keyId: vault.kek.id, version }, vault);
}

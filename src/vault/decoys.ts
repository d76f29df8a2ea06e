/**
 * Decoys: models that nobody has a reason to ask for. A signed document says which; to a requester they are models like any other, with the same
 * answers. Whoever touches one is told of by a record of its own, never in a record whose receipt a requester gets.
 */
import { type Actor, loggable } from '../audit/record.ts';
import { isTampering, VaultError } from '../domain/errors.ts';
import { type Refusal, refuse } from '../domain/evidence.ts';
import type { ModelId, Namespace, ReleaseId } from '../domain/ids.ts';
import { LruMap } from '../domain/lru-map.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { type ApprovalAnswer, requestApproval } from './approve.ts';
import { type AdminActor, authorize } from './authorize.ts';
import { inForce } from './documents.ts';
import type { OperationPorts } from './operations/operation.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>;

export interface Touch {
  readonly namespace: Namespace;
  /** By name, as it was asked for, or by id. */
  readonly model: { readonly name: string } | { readonly id: ModelId };
  readonly actor: Actor;
  /** What was done: `asked`, `released`, `read`. */
  readonly how: string;
  readonly permitted: boolean;
  readonly requestId: string;
}

/** In the transaction of what was done, permitted or not. Nothing for a model that is none. */
export async function noticeDecoy({ namespace, model, actor, how, permitted, requestId }: Touch, tx: Tx, vault: Ports): Promise<void> {
  const modelId = 'id' in model ? model.id : (await vault.stores.catalog.modelByName(tx, namespace, model.name))?.modelId;
  if (modelId === undefined) return;
  const known = await inForce('decoy', namespace, tx, vault, modelId);
  if (known?.body.state !== 'decoy') return;
  await vault.accessLog.append(tx, {
    type: 'decoy.touched',
    outcome: permitted ? 'permit' : 'deny',
    namespace,
    actor,
    detail: loggable(how, 32),
    request: { requestId: loggable(requestId, 64) },
    object: { modelId },
  });
}

/** Where it cannot be told whether the model is one, nothing is permitted: a touch would go unseen. */
export async function refuseUntold(namespace: Namespace, modelId: ModelId, tx: Tx, vault: Ports): Promise<Refusal | undefined> {
  try {
    await inForce('decoy', namespace, tx, vault, modelId);
    return undefined;
  } catch (error) {
    if (error instanceof VaultError && isTampering(error.code)) return refuse(error.code, error.detail);
    throw error;
  }
}

/** Of a request that is refused anyway: that is on record whatever became of the decoy's document. */
export async function noticeRefusedDecoy(touch: Omit<Touch, 'how' | 'permitted'>, tx: Tx, vault: Ports): Promise<void> {
  try {
    await noticeDecoy({ ...touch, how: 'asked', permitted: false }, tx, vault);
  } catch (error) {
    if (!(error instanceof VaultError && isTampering(error.code))) throw error;
  }
}

const read = new LruMap<ReleaseId, true>(10_000);

/** The first read of a release in this process: reading on tells nothing new. */
export async function noticeDecoyRead(releaseId: ReleaseId, touch: Omit<Touch, 'how' | 'permitted'>, tx: Tx, vault: Ports): Promise<void> {
  if (read.get(releaseId) !== undefined) return;
  await noticeDecoy({ ...touch, how: 'read', permitted: true }, tx, vault);
  read.set(releaseId, true);
}

/** Asks for a model to be a decoy, or no longer one. */
export async function requestDecoy(
  actor: AdminActor,
  { namespace, model: name, state }: { readonly namespace: Namespace; readonly model: string; readonly state: 'decoy' | 'ordinary' },
  vault: OperationPorts,
): Promise<ApprovalAnswer> {
  await authorize(actor, 'setAlerts', namespace, vault);
  const found = await vault.stores.unitOfWork.run(async (tx) => {
    const model = await vault.stores.catalog.modelByName(tx, namespace, name);
    if (model === undefined) throw new VaultError('model_unknown', name);
    return { modelId: model.modelId, counter: ((await inForce('decoy', namespace, tx, vault, model.modelId))?.counter ?? 0) + 1 };
  });
  return requestApproval(actor, { kind: 'decoy', namespace, state, ...found }, vault);
}

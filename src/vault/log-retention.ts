/** How long the access log keeps what: shown to everyone with a role, changed by two people. */
import { type Digest, SYSTEM } from '../domain/ids.ts';
import { type ApprovalAnswer, requestApproval } from './approve.ts';
import { type AdminActor, authorize } from './authorize.ts';
import { inForce } from './documents.ts';
import { type Kept, saidIn } from './operations/log-retention.ts';
import type { CloseLog, OperationPorts } from './operations/operation.ts';
import type { Vault } from './vault.ts';

/** Days that are absent: for ever. */
export interface LogRetention extends Kept {
  /** 0 before the first policy. */
  readonly counter: number;
  /** The last period that was closed: until when, and how many records the log had then. Absent before the first. */
  readonly closed?: { readonly until: string; readonly size: number; readonly root: Digest };
  /** Records below this index were removed, but for the bundles that stay. */
  readonly prunedBefore: number;
}

/** Says nothing of what records hold. */
export async function readLogRetention(
  actor: AdminActor,
  vault: Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>,
): Promise<LogRetention> {
  await authorize(actor, 'readCatalogue', SYSTEM, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const found = await inForce('log-retention', SYSTEM, tx, vault);
    const closed = (await inForce('closed-log', SYSTEM, tx, vault))?.body;
    return {
      counter: found?.counter ?? 0,
      ...saidIn(found?.body ?? {}),
      ...(closed && { closed: { until: closed.until, size: closed.size, root: closed.root } }),
      prunedBefore: await vault.stores.log.prunedBefore(tx),
    };
  });
}

/** The whole policy: what is not named is kept for ever. */
export async function requestLogRetention(
  actor: AdminActor,
  kept: Parameters<typeof saidIn>[0],
  vault: OperationPorts,
): Promise<ApprovalAnswer> {
  await authorize(actor, 'setPolicy', SYSTEM, vault);
  const found = await vault.stores.unitOfWork.run((tx) => inForce('log-retention', SYSTEM, tx, vault));
  const counter = (found?.counter ?? 0) + 1;
  return requestApproval(actor, { kind: 'log-retention', namespace: SYSTEM, counter, ...saidIn(kept) }, vault);
}

/** A period of the log is over, and somebody has an archive of it: another person, who verified it, is to say so. */
export async function requestLogClosing(
  actor: AdminActor,
  period: Pick<CloseLog, 'until' | 'size' | 'root'>,
  vault: OperationPorts,
): Promise<ApprovalAnswer> {
  await authorize(actor, 'readLog', SYSTEM, vault);
  const found = await vault.stores.unitOfWork.run((tx) => inForce('closed-log', SYSTEM, tx, vault));
  return requestApproval(actor, { kind: 'close-log', namespace: SYSTEM, counter: (found?.counter ?? 0) + 1, ...period }, vault);
}

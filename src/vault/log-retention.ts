/** How long the access log keeps what: shown to who may read it, changed by two people. */
import { SYSTEM } from '../domain/ids.ts';
import { type ApprovalAnswer, requestApproval } from './approve.ts';
import { type AdminActor, authorize } from './authorize.ts';
import { inForce } from './documents.ts';
import type { OperationPorts } from './operations/operation.ts';
import type { Vault } from './vault.ts';

export interface LogRetention {
  /** 0 before the first policy. */
  readonly counter: number;
  /** Absent: for ever. */
  readonly recordDays?: number;
  readonly disclosureDays?: number;
  /** Records below this index were removed, but for the bundles that stay. */
  readonly prunedBefore: number;
}

/** Says nothing of what records hold. */
export async function readLogRetention(
  actor: AdminActor,
  vault: Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>,
): Promise<LogRetention> {
  await authorize(actor, 'readLog', SYSTEM, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const found = await inForce('log-retention', SYSTEM, tx, vault);
    const { recordDays, disclosureDays } = found?.body ?? {};
    const days = { ...(recordDays !== undefined && { recordDays }), ...(disclosureDays !== undefined && { disclosureDays }) };
    return { counter: found?.counter ?? 0, ...days, prunedBefore: await vault.stores.log.prunedBefore(tx) };
  });
}

/** The whole policy: what is not named is kept for ever. */
export async function requestLogRetention(
  actor: AdminActor,
  { recordDays, disclosureDays }: { readonly recordDays?: number | undefined; readonly disclosureDays?: number | undefined },
  vault: OperationPorts,
): Promise<ApprovalAnswer> {
  await authorize(actor, 'setPolicy', SYSTEM, vault);
  const found = await vault.stores.unitOfWork.run((tx) => inForce('log-retention', SYSTEM, tx, vault));
  const days = { ...(recordDays !== undefined && { recordDays }), ...(disclosureDays !== undefined && { disclosureDays }) };
  return requestApproval(actor, { kind: 'log-retention', namespace: SYSTEM, counter: (found?.counter ?? 0) + 1, ...days }, vault);
}

/** Two-person control: one administrator requests an exact operation, another one consents to its digest, and it happens once. */
import { loggable, type RecordDraft } from '../audit/record.ts';
import { sha256Hex } from '../domain/bytes.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import { refuse } from '../domain/evidence.ts';
import type { Digest, RequestId } from '../domain/ids.ts';
import { parseCanonicalJson } from '../domain/json.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import type { ApprovalRow } from '../identity/port.ts';
import { type AdminActor, actorOf, authorize, personalOf } from './authorize.ts';
import {
  applyOperation,
  type Consent,
  checkOperation,
  consentsNeeded,
  OPERATION_ACTIONS,
  type Operation,
  signOperation,
} from './operations.ts';
import { assertSignedRequest, signRequest } from './requests.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>;

export interface ApprovalAnswer {
  readonly requestId: RequestId;
  /** What an approver consents to. */
  readonly operationDigest: Digest;
  readonly state: 'pending' | 'executed';
  readonly expiresAt: Date;
}

/** Records the request. Where one person is enough it is executed at once; else it waits four hours for another. */
export async function requestApproval(actor: AdminActor, operation: Operation, vault: Ports): Promise<ApprovalAnswer> {
  await authorize(actor, OPERATION_ACTIONS[operation.kind], operation.namespace, vault);
  const { now, needed } = await vault.stores.unitOfWork.run(async (tx) => {
    await checkOperation(operation, tx, vault);
    return { now: tx.now, needed: await consentsNeeded(operation, tx, vault) };
  });
  const { row, document } = await signRequest(
    actor,
    { operation, kind: operation.kind, namespace: operation.namespace },
    now,
    DEFAULTS.approvalSeconds,
    vault,
  );
  await vault.stores.unitOfWork.run(async (tx) => {
    await vault.stores.documents.put(tx, document);
    await vault.stores.approvals.insert(tx, row);
    await vault.accessLog.append(tx, approvalRecord('approval.requested', actor, row));
  });
  const { requestId, operationDigest, expiresAt } = row;
  if (needed > 1) return { requestId, operationDigest, expiresAt, state: 'pending' };
  return execute(actor, row, operation, [consentOf(actor)], vault);
}

/**
 * Consents to a pending request and executes it. `operationDigest` is what the approver was shown: anything else is `approval_changed`.
 * The approver must differ from the requester in person, authenticator and workstation: `approval_self`, recorded.
 */
export async function approve(actor: AdminActor, requestId: RequestId, operationDigest: Digest, vault: Ports): Promise<ApprovalAnswer> {
  const row = await vault.stores.unitOfWork.run(async (tx) => pendingRequest(requestId, tx, vault));
  const operation = operationOf(row);
  await authorize(actor, 'approve', row.namespace, vault);
  const reason = objection(actor, row, operationDigest);
  if (reason !== undefined) {
    const refusal = refuse(reason, row.kind);
    await vault.stores.unitOfWork.run((tx) =>
      vault.accessLog.append(tx, { ...approvalRecord('approval.refused', actor, row), outcome: 'deny', reason: refusal.code }),
    );
    throw new VaultError(reason);
  }
  return execute(actor, row, operation, [consentOf(row), consentOf(actor)], vault);
}

/** Pending requests of a namespace, each with the exact operation, so that an approver sees what they consent to. */
export async function pendingApprovals(actor: AdminActor, namespace: ApprovalRow['namespace'], vault: Ports) {
  await authorize(actor, 'readCatalogue', namespace, vault);
  const rows = await vault.stores.unitOfWork.run((tx) => vault.stores.approvals.pending(tx, namespace, 100));
  return rows.filter((row) => row.kind !== 'enrol').map((row) => ({ ...row, operation: operationOf(row) }));
}

function objection(actor: AdminActor, row: ApprovalRow, consented: Digest): 'approval_self' | 'approval_changed' | undefined {
  if (consented !== row.operationDigest) return 'approval_changed';
  const same =
    actor.administratorId === row.requestedBy || actor.authenticatorId === row.authenticatorId || actor.workstation === row.workstation;
  return same ? 'approval_self' : undefined;
}

async function execute(
  actor: AdminActor,
  row: ApprovalRow,
  operation: Operation,
  consents: readonly Consent[],
  vault: Ports,
): Promise<ApprovalAnswer> {
  const now = await vault.stores.unitOfWork.run(async (tx) => {
    await checkOperation(operation, tx, vault);
    return tx.now;
  });
  const document = await signOperation(operation, consents, now, vault);
  await vault.stores.unitOfWork.run(async (tx) => {
    if (!(await vault.stores.approvals.settle(tx, row.requestId, 'executed'))) throw new VaultError('approval_settled');
    await checkOperation(operation, tx, vault);
    await applyOperation(operation, document, tx, vault);
    await vault.accessLog.append(tx, approvalRecord('approval.executed', actor, row));
    const counter = operation.kind === 'promote' ? {} : { counter: operation.counter };
    await vault.accessLog.append(tx, {
      ...approvalRecord(operation.kind === 'promote' ? 'version.promoted' : 'document.activated', actor, row),
      ...(operation.kind === 'promote' && {
        object: { modelId: operation.modelId, versionId: operation.versionId, versionDigest: operation.versionDigest },
      }),
      document: { kind: operation.kind === 'promote' ? 'promotion' : operation.kind, digest: document.digest, ...counter },
    });
  });
  return { requestId: row.requestId, operationDigest: row.operationDigest, expiresAt: row.expiresAt, state: 'executed' };
}

async function pendingRequest(requestId: RequestId, tx: Tx, vault: Ports): Promise<ApprovalRow> {
  const row = await vault.stores.approvals.request(tx, requestId);
  if (row === undefined || row.kind === 'enrol') throw new VaultError('request_unknown', requestId);
  if (row.state !== 'pending' || tx.now >= row.expiresAt) throw new VaultError('approval_settled', row.state);
  await assertSignedRequest(row, tx, vault);
  return row;
}

/** The stored operation, whose digest was signed. */
function operationOf(row: ApprovalRow): Operation {
  if (sha256Hex(row.operation) !== row.operationDigest) throw new VaultError('approval_changed', 'the stored operation was altered');
  return parseCanonicalJson(row.operation, 'document_invalid') as unknown as Operation; // we wrote it, and its digest holds
}

function consentOf(from: AdminActor | ApprovalRow): Consent {
  const administratorId = 'requestedBy' in from ? from.requestedBy : from.administratorId;
  return { administratorId, authenticatorId: from.authenticatorId, workstation: from.workstation };
}

function approvalRecord(type: RecordDraft['type'], actor: AdminActor, row: ApprovalRow): RecordDraft {
  return {
    type,
    outcome: 'success',
    namespace: row.namespace,
    actor: actorOf(actor),
    request: { requestId: loggable(actor.requestId, 64) },
    operation: { requestId: row.requestId, kind: row.kind, operationDigest: row.operationDigest },
    personal: personalOf(actor),
  };
}

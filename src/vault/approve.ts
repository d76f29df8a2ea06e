/** Two-person control: one administrator requests an exact operation, another one consents to its digest, and it happens once. */
import { loggable, type RecordDraft } from '../audit/record.ts';
import { sha256Hex } from '../domain/bytes.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { codeOf, VaultError } from '../domain/errors.ts';
import { refuse } from '../domain/evidence.ts';
import type { Digest, RequestId } from '../domain/ids.ts';
import { canonicalJson, parseCanonicalJson } from '../domain/json.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import type { ApprovalRow } from '../identity/port.ts';
import { administratorInForce } from './administrators.ts';
import { type AdminActor, actorOf, assertStanding, authorize, personalOf, recordAdminDenial } from './authorize.ts';
import { concerns } from './operations/administrator.ts';
import type { Consent, Operation, OperationPorts } from './operations/operation.ts';
import { afterOperation, applyOperation, checkOperation, consentsNeeded, OPERATION_ACTIONS, signOperation } from './operations/registry.ts';
import { summaryOf } from './operations/summary.ts';
import { assertSignedRequest, signRequest } from './requests.ts';
import { assertMayRequest, assertSteppedUp, spendStepUp, spendToRequest } from './step-up.ts';

type Ports = OperationPorts;

export interface ApprovalAnswer {
  readonly requestId: RequestId;
  /** What an approver consents to. */
  readonly operationDigest: Digest;
  readonly state: 'pending' | 'executed' | 'cancelled';
  readonly expiresAt: Date;
}

/**
 * Records the request. Where one person is enough it is executed at once; else it waits four hours for another. `step_up_required` when this
 * kind of operation takes a fresh code to ask for (step-up.ts).
 */
export async function requestApproval(actor: AdminActor, operation: Operation, vault: Ports): Promise<ApprovalAnswer> {
  const { kind, namespace } = operation;
  await authorize(actor, OPERATION_ACTIONS[kind], namespace, vault);
  const digest = sha256Hex(canonicalJson(operation)) as Digest; // a SHA-256 in hex
  const { now, needed } = await vault.stores.unitOfWork.run(async (tx) => {
    await checkOperation(operation, tx, vault);
    await assertMayRequest(actor, kind, digest, tx, vault);
    return { now: tx.now, needed: await consentsNeeded(operation, tx, vault) };
  });
  const { row, document } = await signRequest(actor, { operation, kind, namespace }, now, DEFAULTS.approvalSeconds, vault);
  await vault.stores.unitOfWork.run(async (tx) => {
    await spendToRequest(actor, kind, digest, tx, vault);
    await vault.stores.documents.put(tx, document);
    await vault.stores.approvals.insert(tx, row);
    await vault.accessLog.append(tx, approvalRecord('approval.requested', actor, row));
  });
  if (needed > 1) return answerOf(row, 'pending');
  return execute(actor, row, operation, [consentOf(actor)], vault);
}

/**
 * Consents to a pending request and executes it. `operationDigest` is what the approver was shown: anything else is `approval_changed`. The
 * approver must differ from the requester in person, authenticator and workstation, and from the person it is about: `approval_self`. The
 * requester must still be one who may ask for it: `approval_void`. It takes a code given for this very operation: `step_up_required`, asked
 * last. Every other refusal is recorded.
 */
export async function approve(actor: AdminActor, requestId: RequestId, operationDigest: Digest, vault: Ports): Promise<ApprovalAnswer> {
  const { row, operation } = await waitingRequest(actor, requestId, vault);
  await authorize(actor, 'approve', row.namespace, vault);
  try {
    await vault.stores.unitOfWork.run(async (tx) => {
      assertPending(row, tx);
      assertSecondPerson(actor, row, operation, operationDigest);
      await assertStanding(consentOf(row), OPERATION_ACTIONS[operation.kind], row.namespace, tx, vault);
      await assertSteppedUp(actor, row.operationDigest, tx, vault);
    });
    return await execute(actor, row, operation, [consentOf(row), consentOf(actor)], vault);
  } catch (error) {
    await recordRefusal(error, actor, row, vault);
    throw error;
  }
}

/** Takes a request back: its requester, or whoever could approve it. `approval_settled` when it is over already. Recorded. */
export async function cancelRequest(actor: AdminActor, requestId: RequestId, vault: Ports): Promise<ApprovalAnswer> {
  const { row } = await waitingRequest(actor, requestId, vault);
  if (actor.administratorId !== row.requestedBy) await authorize(actor, 'approve', row.namespace, vault);
  await vault.stores.unitOfWork.run(async (tx) => {
    if (!(await vault.stores.approvals.settle(tx, requestId, 'cancelled'))) throw new VaultError('approval_settled');
    await vault.accessLog.append(tx, approvalRecord('approval.cancelled', actor, row));
  });
  return answerOf(row, 'cancelled');
}

/** Pending requests of a namespace, each with the exact operation and who asked, so that an approver sees what they consent to. */
export async function pendingApprovals(actor: AdminActor, namespace: ApprovalRow['namespace'], vault: Ports) {
  await authorize(actor, 'readCatalogue', namespace, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const rows = (await vault.stores.approvals.pending(tx, namespace, 100)).filter((row) => row.kind !== 'enrol');
    const waiting = [];
    for (const row of rows) {
      const operation = operationOf(row);
      const requester = (await administratorInForce(row.requestedBy, tx, vault))?.name;
      waiting.push({ ...row, operation, requester, summary: summaryOf(operation) });
    }
    return waiting;
  });
}

function assertSecondPerson(actor: AdminActor, row: ApprovalRow, operation: Operation, consented: Digest): void {
  if (consented !== row.operationDigest) throw new VaultError('approval_changed');
  const same =
    actor.administratorId === row.requestedBy || actor.authenticatorId === row.authenticatorId || actor.workstation === row.workstation;
  if (same) throw new VaultError('approval_self');
  if (concerns(operation) === actor.administratorId) throw new VaultError('approval_self', 'it is about you');
}

async function execute(
  actor: AdminActor,
  row: ApprovalRow,
  operation: Operation,
  consents: readonly [Consent, Consent?],
  vault: Ports,
): Promise<ApprovalAnswer> {
  const [requester, approver] = consents;
  const now = await vault.stores.unitOfWork.run(async (tx) => {
    await checkOperation(operation, tx, vault);
    return tx.now;
  });
  const given = approver === undefined ? [requester] : [requester, approver];
  const document = await signOperation(operation, given, now, vault);
  await vault.stores.unitOfWork.run(async (tx) => {
    if (!(await vault.stores.approvals.settle(tx, row.requestId, 'executed'))) throw new VaultError('approval_settled');
    await assertStanding(requester, OPERATION_ACTIONS[operation.kind], row.namespace, tx, vault);
    if (approver !== undefined) {
      await assertStanding(approver, 'approve', row.namespace, tx, vault);
      await spendStepUp(actor, row.operationDigest, tx, vault);
    }
    await checkOperation(operation, tx, vault);
    if (given.length < (await consentsNeeded(operation, tx, vault)))
      throw new VaultError('approval_changed', 'it takes another person now');
    const said = await applyOperation(operation, document, tx, vault);
    await vault.accessLog.append(tx, approvalRecord('approval.executed', actor, row));
    await vault.accessLog.append(tx, { ...approvalRecord(said.type, actor, row), ...said });
  });
  await afterOperation(operation, vault);
  return answerOf(row, 'executed');
}

/**
 * The request as it was signed, whatever became of it. One that was altered is refused, and the attempt recorded without believing the
 * row.
 */
async function waitingRequest(actor: AdminActor, requestId: RequestId, vault: Ports) {
  try {
    return await vault.stores.unitOfWork.run(async (tx) => {
      const row = await vault.stores.approvals.request(tx, requestId);
      if (row === undefined || row.kind === 'enrol') throw new VaultError('request_unknown', requestId);
      await assertSignedRequest(row, tx, vault);
      return { row, operation: operationOf(row) };
    });
  } catch (error) {
    const code = codeOf(error);
    const altered = code === 'approval_changed' || code === 'document_invalid';
    if (altered) await recordAdminDenial(actor, refuse(code, ''), `request ${requestId}`, vault);
    throw error;
  }
}

function assertPending(row: ApprovalRow, tx: Tx): void {
  if (row.state !== 'pending') throw new VaultError('approval_settled', row.state);
  if (tx.now >= row.expiresAt) throw new VaultError('approval_settled', 'expired');
}

/** What the vault could not decide (an HSM away) is no refusal, and asking for a code is none either. */
async function recordRefusal(error: unknown, actor: AdminActor, row: ApprovalRow, vault: Ports): Promise<void> {
  if (!(error instanceof VaultError) || error.retryable || error.code === 'step_up_required') return;
  const reason = error.code;
  await vault.stores.unitOfWork.run((tx) =>
    vault.accessLog.append(tx, { ...approvalRecord('approval.refused', actor, row), outcome: 'deny', reason }),
  );
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

function answerOf({ requestId, operationDigest, expiresAt }: ApprovalRow, state: ApprovalAnswer['state']): ApprovalAnswer {
  return { requestId, operationDigest, expiresAt, state };
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

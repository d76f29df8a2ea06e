import type { ApprovalRow, ApprovalStore } from '../../identity/port.ts';
import { bytesOf, type Join } from './transaction.ts';

export function sqliteApprovals(join: Join): ApprovalStore {
  return {
    async insert(tx, row) {
      join(tx).run(INSERT, { ...row });
    },

    async request(tx, requestId) {
      const row = join(tx).get<StoredApproval>(`${SELECT} WHERE request_id = :requestId`, { requestId });
      return row && approvalRow(row);
    },

    async pending(tx, namespace, limit) {
      return join(tx).all<StoredApproval>(PENDING, { namespace, limit, now: tx.now }).map(approvalRow);
    },

    async settle(tx, requestId, state) {
      return join(tx).run(SETTLE, { requestId, state, now: tx.now }) === 1;
    },

    async eraseAbout(tx, administratorId) {
      return join(tx).run(ERASE_ABOUT, { administratorId });
    },
  };
}

const INSERT = `
  INSERT INTO approvals (request_id, namespace, kind, operation, operation_digest, document_digest, requested_by, authenticator_id, workstation,
                         created_at, expires_at, state)
  VALUES (:requestId, :namespace, :kind, :operation, :operationDigest, :documentDigest, :requestedBy, :authenticatorId, :workstation,
          :createdAt, :expiresAt, :state)`;

const SELECT = `
  SELECT request_id AS requestId, namespace, kind, operation, operation_digest AS operationDigest, document_digest AS documentDigest, requested_by AS requestedBy,
         authenticator_id AS authenticatorId, workstation, created_at AS createdAt, expires_at AS expiresAt, state
  FROM approvals`;

const PENDING = `
  ${SELECT} WHERE namespace = :namespace AND state = 'pending' AND expires_at > :now
  ORDER BY created_at, request_id LIMIT :limit`;

const SETTLE = `
  UPDATE approvals SET state = :state
  WHERE request_id = :requestId AND state = 'pending' AND expires_at > :now`;

const ERASE_ABOUT = `
  DELETE FROM approvals WHERE kind = 'administrator' AND json_extract(CAST(operation AS TEXT), '$.administratorId') = :administratorId`;

type StoredApproval = Omit<ApprovalRow, 'createdAt' | 'expiresAt'> & { readonly createdAt: number; readonly expiresAt: number };

function approvalRow(row: StoredApproval): ApprovalRow {
  return { ...row, operation: bytesOf(row.operation), createdAt: new Date(row.createdAt), expiresAt: new Date(row.expiresAt) };
}

/** Requests that wait are signed when they are made: a database writer can neither plant one in another's name nor alter one. */
import { signDocument } from '../documents/document.ts';
import type { SignedDocument } from '../documents/port.ts';
import { sha256Hex } from '../domain/bytes.ts';
import { addSeconds } from '../domain/clock.ts';
import { VaultError } from '../domain/errors.ts';
import { type Digest, newId, type RequestId } from '../domain/ids.ts';
import { canonicalJson } from '../domain/json.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import type { ApprovalRow } from '../identity/port.ts';
import type { AdminActor } from './authorize.ts';
import { readDocument } from './documents.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey'>;

export interface SignedRequest {
  readonly row: ApprovalRow;
  readonly document: SignedDocument;
}

/** Makes the row and the signed document it points at. Neither is stored yet. */
export async function signRequest(
  actor: AdminActor,
  wanted: { readonly operation: object; readonly kind: ApprovalRow['kind']; readonly namespace: ApprovalRow['namespace'] },
  now: Date,
  lifeSeconds: number,
  vault: Ports,
): Promise<SignedRequest> {
  const { kind, namespace } = wanted;
  const operation = canonicalJson(wanted.operation);
  const operationDigest = sha256Hex(operation) as Digest; // a SHA-256 in hex
  const requestId = newId<RequestId>(now);
  const expiresAt = addSeconds(now, lifeSeconds);
  const { administratorId, authenticatorId, workstation } = actor;
  const document = await signDocument(
    'request',
    {
      v: 1,
      vaultId: vault.vaultId,
      createdAt: now.toISOString(),
      namespace,
      requestId,
      operationKind: kind,
      operationDigest,
      consent: { administratorId, authenticatorId, workstation },
      expiresAt: expiresAt.toISOString(),
    },
    vault.catalogueKey.sign,
  );
  const who = { requestedBy: administratorId, authenticatorId, workstation };
  const what = { requestId, namespace, kind, operation, operationDigest, documentDigest: document.digest };
  return { row: { ...what, ...who, createdAt: now, expiresAt, state: 'pending' }, document };
}

/** Throws `approval_changed` unless the row says exactly what was signed when the request was made. */
export async function assertSignedRequest(row: ApprovalRow, tx: Tx, vault: Ports): Promise<void> {
  const said = await readDocument('request', row.documentDigest, tx, vault);
  const { consent } = said;
  const same =
    said.requestId === row.requestId &&
    said.namespace === row.namespace &&
    said.operationKind === row.kind &&
    said.operationDigest === row.operationDigest &&
    said.operationDigest === sha256Hex(row.operation) &&
    consent.administratorId === row.requestedBy &&
    consent.authenticatorId === row.authenticatorId &&
    consent.workstation === row.workstation &&
    new Date(said.expiresAt).getTime() === row.expiresAt.getTime();
  if (!same) throw new VaultError('approval_changed', 'the stored request is not what was signed');
}

/** Every operation that exists, and the four things that are done with one. */
import type { SignedDocument } from '../../documents/port.ts';
import type { Tx } from '../../domain/unit-of-work.ts';
import type { AdminAction } from '../../policy/actions.ts';
import { setAdministrator } from './administrator.ts';
import { setAlertDelivery, setAlertRules } from './alerts.ts';
import { setAlias } from './alias.ts';
import { changeClass } from './class-change.ts';
import { closeLog } from './close-log.ts';
import { setDecoy } from './decoy.ts';
import { destroyKey, keepKey } from './destroy-key.ts';
import { destroyVersion } from './destroy-version.ts';
import { erasePerson } from './erase-person.ts';
import { setKeyPeriods } from './key-periods.ts';
import { lift } from './lift.ts';
import { setLogRetention } from './log-retention.ts';
import { setLogSinks } from './log-sinks.ts';
import { setPolicySet, setReferenceValues, setTrustAnchors } from './namespace-documents.ts';
import type { Consent, Operation, OperationPorts, OperationSpec } from './operation.ts';
import { promote } from './promote.ts';
import { setRecoveryKey } from './recovery-key.ts';
import { compromiseKey, createKey, rotateKey } from './rotate-key.ts';

type Registry = { readonly [K in Operation['kind']]: OperationSpec<Extract<Operation, { kind: K }>> };

const OPERATIONS: Registry = {
  promote,
  'policy-set': setPolicySet,
  'reference-values': setReferenceValues,
  'trust-anchors': setTrustAnchors,
  administrator: setAdministrator,
  alias: setAlias,
  'class-change': changeClass,
  'create-key': createKey,
  'rotate-key': rotateKey,
  'compromise-key': compromiseKey,
  'destroy-key': destroyKey,
  'keep-key': keepKey,
  'key-periods': setKeyPeriods,
  'recovery-key': setRecoveryKey,
  'destroy-version': destroyVersion,
  'alert-rules': setAlertRules,
  'alert-delivery': setAlertDelivery,
  decoy: setDecoy,
  lift,
  'erase-person': erasePerson,
  'log-sinks': setLogSinks,
  'log-retention': setLogRetention,
  'close-log': closeLog,
};

export const OPERATION_ACTIONS = Object.fromEntries(Object.entries(OPERATIONS).map(([kind, { action }]) => [kind, action])) as Readonly<
  Record<Operation['kind'], AdminAction>
>;

/** The registry pairs each kind with its own type, which TypeScript cannot follow through an index. */
function specOf(operation: Operation): OperationSpec<Operation> {
  return OPERATIONS[operation.kind] as unknown as OperationSpec<Operation>;
}

/** Throws unless the operation could be executed now. */
export function checkOperation(operation: Operation, tx: Tx, vault: OperationPorts): Promise<void> {
  return specOf(operation).check(operation, tx, vault);
}

/** How many people must want it. */
export async function consentsNeeded(operation: Operation, tx: Tx, vault: OperationPorts): Promise<number> {
  return (await specOf(operation).consentsNeeded?.(operation, tx, vault)) ?? 2;
}

/** Signs the document that carries the operation out, outside any transaction. */
export function signOperation(
  operation: Operation,
  consents: readonly Consent[],
  now: Date,
  vault: OperationPorts,
): Promise<SignedDocument> {
  const head = { v: 1 as const, vaultId: vault.vaultId, createdAt: now.toISOString(), namespace: operation.namespace };
  return specOf(operation).sign(operation, { head, consents: [...consents] }, vault);
}

/** Puts the signed document in force, and says what the record of it says. */
export async function applyOperation(
  operation: Operation,
  document: SignedDocument,
  tx: Tx,
  vault: OperationPorts,
): Promise<ReturnType<OperationSpec<Operation>['record']>> {
  const spec = specOf(operation);
  await vault.stores.documents.put(tx, document);
  const detail = await spec.apply(operation, document, tx, vault);
  return { ...spec.record(operation, document), ...(detail !== undefined && { detail }) };
}

/** What follows once the operation is durable. */
export async function afterOperation(operation: Operation, vault: OperationPorts): Promise<void> {
  await specOf(operation).afterwards?.(operation, vault);
}

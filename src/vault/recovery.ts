/** The recovery key in force, and asking for one. What it is good for when the HSM is lost: recover.ts. */
import { fromBase64 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { SYSTEM } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import type { RecoveryKey } from '../keys/recovery-wrap.ts';
import { type ApprovalAnswer, requestApproval } from './approve.ts';
import { type AdminActor, authorize } from './authorize.ts';
import { inForce } from './documents.ts';
import type { OperationPorts } from './operations/operation.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey'>;

/** Undefined when there is none, or it was withdrawn. */
export async function recoveryKeyInForce(tx: Tx, vault: Ports): Promise<(RecoveryKey & { readonly counter: number }) | undefined> {
  const found = await inForce('recovery-key', SYSTEM, tx, vault);
  if (found?.body.state !== 'active') return undefined;
  return { keyId: found.body.keyId, publicKey: fromBase64(found.body.publicKey), counter: found.counter };
}

export interface RecoverySeen {
  readonly keyId: string;
  readonly state: 'active' | 'withdrawn';
  readonly shares: number;
  readonly needed: number;
  readonly since: string;
  /** Versions whose DEK is wrapped for it too, and all there are. */
  readonly wrapped: number;
  readonly versions: number;
}

/** Undefined when there never was one. */
export async function readRecovery(actor: AdminActor, vault: Ports & Pick<Vault, 'accessLog'>): Promise<RecoverySeen | undefined> {
  await authorize(actor, 'readCatalogue', SYSTEM, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const found = await inForce('recovery-key', SYSTEM, tx, vault);
    if (found === undefined) return undefined;
    const { keyId, state, shares, needed, createdAt } = found.body;
    const wrapped = await vault.stores.catalog.countRecoveryWraps(tx, keyId);
    return { keyId, state, shares, needed, since: createdAt, wrapped, versions: await vault.stores.catalog.countVersions(tx) };
  });
}

/** Asks for a recovery key that a ceremony has made. */
export async function requestRecoveryKey(
  actor: AdminActor,
  key: { readonly keyId: string; readonly publicKey: string; readonly shares: number; readonly needed: number },
  vault: OperationPorts,
): Promise<ApprovalAnswer> {
  const current = await vault.stores.unitOfWork.run((tx) => inForce('recovery-key', SYSTEM, tx, vault));
  const counter = (current?.counter ?? 0) + 1;
  return requestApproval(actor, { kind: 'recovery-key', namespace: SYSTEM, counter, ...key, state: 'active' }, vault);
}

/** Asks for the one in force to be withdrawn. Backups keep what they hold. */
export async function requestRecoveryWithdrawal(actor: AdminActor, vault: OperationPorts): Promise<ApprovalAnswer> {
  await authorize(actor, 'rotateKey', SYSTEM, vault); // who may not ask learns nothing
  const current = await vault.stores.unitOfWork.run((tx) => inForce('recovery-key', SYSTEM, tx, vault));
  if (current === undefined) throw new VaultError('key_state_conflict', 'there is no recovery key');
  const { keyId, publicKey, shares, needed } = current.body;
  const counter = current.counter + 1;
  const operation = { kind: 'recovery-key' as const, namespace: SYSTEM, counter, keyId, publicKey, shares, needed };
  return requestApproval(actor, { ...operation, state: 'withdrawn' }, vault);
}

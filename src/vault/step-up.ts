/**
 * A fresh code for what is dangerous. Each code is good once, so one given for a login cannot be given again. Asking for something dangerous
 * takes a code not older than five minutes (the login's counts); consenting to it, and asking to destroy a key, one that was given for
 * exactly that operation and is spent by it. Stops ask for none: they may be in a hurry.
 */
import { loggable } from '../audit/record.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { addSeconds } from '../domain/clock.ts';
import { type ErrorCode, VaultError } from '../domain/errors.ts';
import { refuse } from '../domain/evidence.ts';
import type { Digest } from '../domain/ids.ts';
import type { OperationKind } from '../domain/operation.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { administratorInForce, equipped } from './administrators.ts';
import { admitCode } from './attempts.ts';
import { type AdminActor, actorOf, personalOf, recordAdminDenial } from './authorize.ts';
import { acceptTimeStep, countTry, timeStepOf, withdrawTry } from './second-factor.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'keys' | 'catalogueKey' | 'accessLog'>;

/** What asking for an operation takes; nothing where it is not said. Consenting always takes a code of its own. */
const TO_REQUEST: Partial<Record<OperationKind, 'recent' | 'bound'>> = {
  administrator: 'recent',
  'class-change': 'recent',
  'create-key': 'recent',
  'rotate-key': 'recent',
  'compromise-key': 'recent',
  'key-periods': 'recent',
  'recovery-key': 'bound',
  'destroy-version': 'bound',
  'destroy-key': 'bound',
  'keep-key': 'recent',
  lift: 'recent',
  'erase-person': 'bound',
  'log-retention': 'bound',
};

export interface StepUp {
  readonly code: string;
  /** The one operation it is for. */
  readonly operationDigest?: Digest | undefined;
}

/** Throws `login_refused` for a wrong or used code, `login_locked` after too many of them: they count like those of a login. Recorded. */
export async function stepUp(actor: AdminActor, { code, operationDigest }: StepUp, vault: Ports): Promise<{ readonly validUntil: Date }> {
  const tried = { administrator: actor.name, workstation: actor.workstation };
  admitCode(actor.workstation, await vault.stores.unitOfWork.run(async (tx) => tx.now), vault);
  const found = await vault.stores.unitOfWork.run(async (tx) => {
    const person = equipped(await administratorInForce(actor.administratorId, tx, vault));
    if (person?.authenticator.id !== actor.authenticatorId) return undefined;
    return (await countTry(tried, tx, vault)) ? { person, now: tx.now } : ('login_locked' as const);
  });
  if (found === undefined) throw new VaultError('session_expired');
  if (found === 'login_locked') return refuseStepUp(actor, 'login_locked', vault);
  const timeStep = await timeStepOf(found.person, code, found.now, vault).catch((error) => withdrawTry(tried, error, vault));
  if (timeStep === undefined) return refuseStepUp(actor, 'login_refused', vault);
  const steppedUp = await vault.stores.unitOfWork.run(async (tx) => {
    if (!(await acceptTimeStep(tried, actor.authenticatorId, timeStep, tx, vault))) return undefined;
    if (!(await vault.stores.identity.stepUp(tx, actor.session, operationDigest))) throw new VaultError('session_expired');
    await vault.accessLog.append(tx, {
      type: 'admin.login',
      outcome: 'success',
      detail: loggable(operationDigest === undefined ? 'step-up' : `step-up for ${operationDigest}`, 128),
      actor: actorOf(actor),
      request: { requestId: loggable(actor.requestId, 64) },
      personal: personalOf(actor),
    });
    return { validUntil: addSeconds(tx.now, DEFAULTS.stepUpSeconds) };
  });
  return steppedUp ?? refuseStepUp(actor, 'login_refused', vault);
}

/** Throws `step_up_required` unless the code given last is fresh enough to ask for an operation of this kind. */
export async function assertMayRequest(
  actor: AdminActor,
  kind: OperationKind,
  digest: Digest,
  tx: Tx,
  vault: Pick<Vault, 'stores'>,
): Promise<void> {
  const needed = TO_REQUEST[kind];
  if (needed !== undefined) await assertSteppedUp(actor, needed === 'bound' ? digest : undefined, tx, vault);
}

/** The same in the transaction that carries the request out: what was given for this one operation is spent. */
export async function spendToRequest(
  actor: AdminActor,
  kind: OperationKind,
  digest: Digest,
  tx: Tx,
  vault: Pick<Vault, 'stores'>,
): Promise<void> {
  if (TO_REQUEST[kind] === 'bound') await spendStepUp(actor, digest, tx, vault);
}

/** Throws `step_up_required` unless a code was given in the last five minutes, and for this operation if one is named. */
export async function assertSteppedUp(actor: AdminActor, digest: Digest | undefined, tx: Tx, vault: Pick<Vault, 'stores'>): Promise<void> {
  const session = await vault.stores.identity.session(tx, actor.session);
  const fresh = session !== undefined && session.stepUpAt > addSeconds(tx.now, -DEFAULTS.stepUpSeconds);
  if (!fresh || (digest !== undefined && session.stepUpFor !== digest)) throw stepUpRequired(digest);
}

/** Spends the code that was given for this operation. Throws `step_up_required` when there is none, or somebody was faster. */
export async function spendStepUp(actor: AdminActor, digest: Digest, tx: Tx, vault: Pick<Vault, 'stores'>): Promise<void> {
  const since = addSeconds(tx.now, -DEFAULTS.stepUpSeconds);
  if (!(await vault.stores.identity.spendStepUp(tx, actor.session, digest, since))) throw stepUpRequired(digest);
}

/** `detail` is for programs too: `operation` and the digest the code must be given for. */
function stepUpRequired(digest: Digest | undefined): VaultError {
  return new VaultError('step_up_required', digest === undefined ? '' : `operation ${digest}`);
}

async function refuseStepUp(actor: AdminActor, code: ErrorCode, vault: Ports): Promise<never> {
  await recordAdminDenial(actor, refuse(code, ''), 'step-up', vault);
  throw new VaultError(code);
}

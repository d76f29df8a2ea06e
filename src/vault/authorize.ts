/** Who an administrator is on this request, and whether the vault's own policy lets them. */
import { loggable } from '../audit/record.ts';
import { VaultError } from '../domain/errors.ts';
import { isRefusal, type Refusal, type SpkiDigest } from '../domain/evidence.ts';
import { type AdministratorId, type Digest, type Namespace, SYSTEM } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { sessionLives, sessionTokenDigest } from '../identity/session-token.ts';
import type { AdminAction } from '../policy/actions.ts';
import type { AdministratorAttributes } from '../policy/attributes.ts';
import { decideAdministration } from '../policy/decide.ts';
import { loadPolicySet } from '../policy/policy-set.ts';
import { administratorInForce } from './administrators.ts';
import { inForce } from './documents.ts';
import type { Consent } from './operations/operation.ts';
import { refusedByStop } from './stops.ts';
import type { Vault } from './vault.ts';

/** An administrator with a living session, on the workstation the session belongs to. */
export interface AdminActor {
  readonly administratorId: AdministratorId;
  readonly name: string;
  readonly roles: readonly string[];
  readonly authenticatorId: string;
  readonly workstation: SpkiDigest;
  /** SHA-256 of the session's token: names the session, opens nothing. */
  readonly session: Digest;
  readonly requestId: string;
  readonly remoteAddress: string;
}

export interface AdminRequest {
  readonly token: string | undefined;
  readonly workstation: SpkiDigest;
  readonly requestId: string;
  readonly remoteAddress: string;
}

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>;

/** The actor behind a request. `session_missing`, `session_expired`, or `workstation_unknown` when the session is another workstation's. */
export function authenticate(request: AdminRequest, vault: Ports): Promise<AdminActor> {
  return vault.stores.unitOfWork.run(async (tx) => {
    if (request.token === undefined) throw new VaultError('session_missing');
    const tokenDigest = sessionTokenDigest(request.token);
    const session = await vault.stores.identity.session(tx, tokenDigest);
    if (session === undefined) throw new VaultError('session_missing');
    if (!sessionLives(session, tx.now)) throw new VaultError('session_expired');
    // The signed document says which workstations and authenticator are this person's; the session row alone opens nothing.
    const person = await administratorInForce(session.administratorId, tx, vault);
    const sound =
      person?.state === 'active' &&
      person.authenticator?.id === session.authenticatorId &&
      session.workstation === request.workstation &&
      person.workstations.includes(request.workstation);
    if (!sound) throw new VaultError('workstation_unknown');
    await vault.stores.identity.touchSession(tx, tokenDigest);
    const { administratorId, name, roles } = person;
    const { workstation, requestId, remoteAddress } = request; // not the token: an actor is passed around
    const { authenticatorId } = session;
    return { administratorId, name, roles, authenticatorId, workstation, session: tokenDigest, requestId, remoteAddress };
  });
}

/**
 * What is left to administrators in a lockdown: to see, to stop more, to lift. `approve` alone executes nothing: what the requester asked
 * for is authorized again beside it. Whatever is not named here waits until the lockdown is lifted.
 */
const IN_LOCKDOWN: ReadonlySet<AdminAction> = new Set<AdminAction>([
  ...(['readCatalogue', 'readLog'] as const),
  ...(['blockRequester', 'suspend', 'lockdown'] as const),
  ...(['liftStop', 'approve'] as const),
]);

/**
 * Returns when the vault's policy permits the action in the namespace and no lockdown is in its way. Records the refusal and throws
 * `action_denied` or `lockdown` otherwise.
 */
export async function authorize(actor: AdminActor, action: AdminAction, namespace: Namespace, vault: Ports): Promise<void> {
  const refused = await vault.stores.unitOfWork.run((tx) => decide(actor, action, namespace, tx, vault));
  if (refused === undefined) return;
  await recordAdminDenial(actor, refused, `${action} in ${namespace}`, vault);
  throw new VaultError(refused.code, `${action} in ${namespace}`);
}

/**
 * Throws `approval_void` unless whoever gave a consent is still an administrator with that authenticator and workstation, and may still do
 * this: people change while requests wait. `lockdown` while one is in the way. Asked in the transaction that acts on the consent too.
 */
export async function assertStanding(
  { administratorId, authenticatorId, workstation }: Consent,
  action: AdminAction,
  namespace: Namespace,
  tx: Tx,
  vault: Ports,
): Promise<void> {
  const person = await administratorInForce(administratorId, tx, vault);
  const same = person?.state === 'active' && person.authenticator?.id === authenticatorId && person.workstations.includes(workstation);
  if (!same) throw new VaultError('approval_void', 'an administrator, their authenticator or their workstation is gone');
  const refused = await decide(person, action, namespace, tx, vault);
  if (refused?.code === 'lockdown') throw new VaultError(refused.code, `${action} in ${namespace}`);
  if (refused !== undefined) throw new VaultError('approval_void', `${person.name} may no longer ${action} in ${namespace}`);
}

async function decide(
  actor: AdministratorAttributes,
  action: AdminAction,
  namespace: Namespace,
  tx: Tx,
  vault: Ports,
): Promise<Refusal | undefined> {
  const policies = await inForce('policy-set', SYSTEM, tx, vault);
  const decision = decideAdministration({
    administrator: actor,
    action,
    namespace,
    context: { mfa: 'totp', workstationBound: true, now: tx.now },
    policySet: policies && loadPolicySet(policies.body, policies.digest),
  });
  if (isRefusal(decision)) return decision;
  return IN_LOCKDOWN.has(action) ? undefined : refusedByStop({ namespace }, tx, vault);
}

export async function recordAdminDenial(actor: AdminActor, refusal: Refusal, what: string, vault: Ports): Promise<void> {
  await vault.stores.unitOfWork.run((tx) =>
    vault.accessLog.append(tx, {
      type: 'admin.denied',
      outcome: 'deny',
      reason: refusal.code,
      detail: loggable(what, 512),
      actor: actorOf(actor),
      request: { requestId: loggable(actor.requestId, 64) },
      personal: personalOf(actor),
    }),
  );
}

/** The actor as records name it; the person's name and address go in as commitments only. */
export function actorOf(actor: Pick<AdminActor, 'administratorId' | 'authenticatorId' | 'workstation'>) {
  return {
    kind: 'administrator' as const,
    administratorId: actor.administratorId,
    authenticatorId: loggable(actor.authenticatorId, 64),
    workstation: actor.workstation,
  };
}

export function personalOf(actor: Pick<AdminActor, 'name' | 'remoteAddress'>) {
  return { administratorName: actor.name, remoteAddress: actor.remoteAddress };
}

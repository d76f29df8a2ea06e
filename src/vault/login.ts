/** Logging in: a workstation's certificate and a TOTP code together make a session. Every attempt is recorded. */
import { loggable } from '../audit/record.ts';
import { VaultError } from '../domain/errors.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { newSessionToken } from '../identity/session-token.ts';
import { activeAdministrators, administratorByName, type Equipped, equipped } from './administrators.ts';
import { type Attempt, admitAttempt, refuseAttempt } from './attempts.ts';
import { type AdminActor, actorOf, personalOf } from './authorize.ts';
import { loginSignals } from './notice.ts';
import { acceptTimeStep, countTry, timeStepOf, withdrawTry } from './second-factor.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'keys' | 'catalogueKey' | 'accessLog' | 'logRoom' | 'siteOf'>;

export interface LoginRequest extends Attempt {
  readonly code: string;
}

/**
 * Resolves with a session token, shown once. Throws `login_refused` without saying which part was wrong, or `login_locked` after too
 * many wrong codes for this name from this workstation, or too many attempts (attempts.ts). The code also counts as a step-up.
 */
export async function login(request: LoginRequest, vault: Ports): Promise<{ readonly token: string; readonly administrator: string }> {
  await admitAttempt(request, 'login', 'login_refused', vault);
  const found = await vault.stores.unitOfWork.run((tx) => countAndFind(request, tx, vault));
  if (found === 'login_locked') return refuseAttempt(request, 'login', 'login_locked', vault);
  const { person, decoy, now } = found;
  // On an administrator's workstation too, a name that does not fit costs the same work as one that does: who else administers this vault
  // is not to be found out by a stopwatch.
  const timeStep = await timeStepOf(person ?? decoy, request.code, now, vault).catch((error) => withdrawTry(request, error, vault));
  if (person === undefined || timeStep === undefined) return refuseAttempt(request, 'login', 'login_refused', vault);

  const { token, digest } = newSessionToken();
  const accepted = await vault.stores.unitOfWork.run(async (tx) => {
    // Claimed before anything is answered: a code is good once.
    if (!(await acceptTimeStep(request, person.authenticator.id, timeStep, tx, vault))) return false;
    const who = { administratorId: person.administratorId, authenticatorId: person.authenticator.id, workstation: request.workstation };
    await vault.stores.identity.insertSession(tx, { tokenDigest: digest, ...who, createdAt: tx.now, lastSeenAt: tx.now, stepUpAt: tx.now });
    const signals = await loginSignals(who.administratorId, who.workstation, request.remoteAddress, tx, vault);
    await vault.accessLog.append(tx, {
      type: 'admin.login',
      ...(signals.length > 0 && { signals }),
      outcome: 'success',
      actor: actorOf(who),
      request: { requestId: loggable(request.requestId, 64) },
      personal: { administratorName: person.name, remoteAddress: request.remoteAddress },
    });
    return true;
  });
  return accepted ? { token, administrator: person.name } : refuseAttempt(request, 'login', 'login_refused', vault);
}

/** Ends the session; its token is worth nothing afterwards. */
export async function logout(actor: AdminActor, { stores, accessLog }: Pick<Vault, 'stores' | 'accessLog'>): Promise<void> {
  await stores.unitOfWork.run(async (tx) => {
    await stores.identity.deleteSession(tx, actor.session);
    await accessLog.append(tx, {
      type: 'admin.logout',
      outcome: 'success',
      actor: actorOf(actor),
      request: { requestId: loggable(actor.requestId, 64) },
      personal: personalOf(actor),
    });
  });
}

interface Found {
  readonly person: Equipped | undefined;
  /** Somebody whose code can be checked in place of a person who does not exist. */
  readonly decoy: Equipped;
  readonly now: Date;
}

async function countAndFind(request: LoginRequest, tx: Tx, vault: Ports): Promise<'login_locked' | Found> {
  if (!(await countTry(request, tx, vault))) return 'login_locked';
  const named = equipped(await administratorByName(request.administrator, tx, vault));
  const decoy = named ?? (await activeAdministrators(tx, vault)).map(equipped).find((one) => one !== undefined);
  if (decoy === undefined) throw new VaultError('not_initialized');
  return { person: named?.workstations.includes(request.workstation) ? named : undefined, decoy, now: tx.now };
}

/** Logging in: a workstation's certificate and a TOTP code together make a session. Every attempt is recorded. */
import { loggable } from '../audit/record.ts';
import type { Bodies } from '../documents/bodies.ts';
import { fromBase64 } from '../domain/bytes.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { addSeconds } from '../domain/clock.ts';
import { type ErrorCode, VaultError } from '../domain/errors.ts';
import type { SpkiDigest } from '../domain/evidence.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { newSessionToken } from '../identity/session-token.ts';
import { totpTimeStep } from '../identity/totp.ts';
import { decodeWrappedKey, totpSeedAad } from '../keys/wrapped-key.ts';
import { actorOf } from './authorize.ts';
import { readDocument } from './documents.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'keys' | 'catalogueKey' | 'accessLog'>;

export interface LoginRequest {
  readonly administrator: string;
  readonly code: string;
  readonly workstation: SpkiDigest;
  readonly requestId: string;
  readonly remoteAddress: string;
}

/**
 * Resolves with a session token, shown once. Throws `login_refused` without saying which part was wrong, or `login_locked` after too
 * many wrong codes for this name from this workstation: a stranger on another one cannot lock anyone out.
 */
export async function login(request: LoginRequest, vault: Ports): Promise<{ readonly token: string; readonly administrator: string }> {
  const found = await vault.stores.unitOfWork.run((tx) => countAndFind(request, tx, vault));
  if (found === 'login_locked') return refuseLogin(request, 'login_locked', vault);
  const { person, decoy } = found;
  // A name that does not fit costs the same work as one that does: who administers this vault is not to be found out by a stopwatch.
  const timeStep = await matchingTimeStep(person ?? decoy, request.code, vault).catch((error) => uncount(request, error, vault));
  if (person === undefined || timeStep === undefined) return refuseLogin(request, 'login_refused', vault);

  const { token, digest } = newSessionToken();
  const accepted = await vault.stores.unitOfWork.run(async (tx) => {
    // Claimed before anything is answered, in the database that all nodes share: a code is good once.
    if (!(await vault.stores.identity.claimTimeStep(tx, person.authenticator.id, timeStep))) return false;
    await vault.stores.identity.forgetLoginFailures(tx, request.administrator, request.workstation);
    await vault.stores.identity.insertSession(tx, {
      tokenDigest: digest,
      administratorId: person.administratorId,
      authenticatorId: person.authenticator.id,
      workstation: request.workstation,
      createdAt: tx.now,
      lastSeenAt: tx.now,
    });
    const actor = { administratorId: person.administratorId, authenticatorId: person.authenticator.id, workstation: request.workstation };
    await vault.accessLog.append(tx, {
      type: 'admin.login',
      outcome: 'success',
      actor: actorOf(actor),
      request: { requestId: loggable(request.requestId, 64) },
      personal: { administratorName: person.name, remoteAddress: request.remoteAddress },
    });
    return true;
  });
  return accepted ? { token, administrator: person.name } : refuseLogin(request, 'login_refused', vault);
}

/** Ends the session; its token is worth nothing afterwards. */
export async function logout(tokenDigest: Parameters<Vault['stores']['identity']['deleteSession']>[1], vault: Pick<Vault, 'stores'>) {
  await vault.stores.unitOfWork.run((tx) => vault.stores.identity.deleteSession(tx, tokenDigest));
}

type Person = Bodies['administrator'];

/** Counts the attempt as a failure before its code is looked at, so that parallel guesses cannot outrun the count. A right code forgets it. */
async function countAndFind(
  request: LoginRequest,
  tx: Tx,
  vault: Ports,
): Promise<'login_locked' | { readonly person: Person | undefined; readonly decoy: Person }> {
  const { administrator, workstation } = request;
  const since = addSeconds(tx.now, -DEFAULTS.loginFailureWindowSeconds);
  if ((await vault.stores.identity.loginFailures(tx, administrator, workstation, since)) >= DEFAULTS.loginFailures) return 'login_locked';
  await vault.stores.identity.recordLoginFailure(tx, administrator, workstation);
  const [first] = await vault.stores.identity.administrators(tx);
  if (first === undefined) throw new VaultError('not_initialized');
  const row = await vault.stores.identity.administratorByName(tx, administrator);
  const decoy = await readDocument('administrator', (row ?? first).documentDigest, tx, vault);
  const fits = row !== undefined && decoy.name === administrator && decoy.administratorId === row.administratorId;
  return { person: fits && decoy.workstations.includes(workstation) ? decoy : undefined, decoy };
}

/** A code that could not be looked at was not wrong: only this one attempt is taken back, so a busy HSM resets nobody's count. */
async function uncount({ administrator, workstation }: LoginRequest, error: unknown, vault: Ports): Promise<never> {
  await vault.stores.unitOfWork.run((tx) => vault.stores.identity.withdrawLoginFailure(tx, administrator, workstation));
  throw error;
}

/** The seed is opened by the HSM for the length of one check. */
async function matchingTimeStep(person: Person, code: string, vault: Ports): Promise<number | undefined> {
  const wrapped = decodeWrappedKey(fromBase64(person.authenticator.wrappedSeed));
  const aad = totpSeedAad(vault.vaultId, person.administratorId, person.authenticator.id, wrapped.kek);
  using seed = await vault.keys.unwrap(wrapped, aad);
  const now = await vault.stores.unitOfWork.run(async (tx) => tx.now);
  return totpTimeStep(seed, code, now);
}

async function refuseLogin(request: LoginRequest, code: ErrorCode, vault: Ports): Promise<never> {
  await vault.stores.unitOfWork.run(async (tx) => {
    await vault.accessLog.append(tx, {
      type: 'admin.denied',
      outcome: 'deny',
      reason: code,
      detail: loggable('login', 16),
      actor: { kind: 'administrator', workstation: request.workstation },
      request: { requestId: loggable(request.requestId, 64) },
      personal: { administratorName: request.administrator, remoteAddress: request.remoteAddress },
    });
  });
  throw new VaultError(code);
}

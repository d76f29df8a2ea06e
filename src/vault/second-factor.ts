/**
 * The six digits: counted as wrong before they are looked at, so that parallel guesses cannot outrun the count; looked at with a seed that
 * the HSM opens for that moment; good once. Logging in, stepping up and claiming an authenticator share it.
 */
import { fromBase64 } from '../domain/bytes.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { addSeconds } from '../domain/clock.ts';
import type { SpkiDigest } from '../domain/evidence.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { totpTimeStep } from '../identity/totp.ts';
import { decodeWrappedKey, totpSeedAad } from '../keys/wrapped-key.ts';
import type { Equipped } from './administrators.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'keys'>;

/** Whose codes are counted together: one name on one workstation. A stranger on another one cannot lock anyone out. */
export interface Tried {
  readonly administrator: string;
  readonly workstation: SpkiDigest;
}

/** Counts the attempt as a failure; a right code forgets it. False, and no count, after five in ten minutes. */
export async function countTry({ administrator, workstation }: Tried, tx: Tx, vault: Pick<Vault, 'stores'>): Promise<boolean> {
  const since = addSeconds(tx.now, -DEFAULTS.loginFailureWindowSeconds);
  if ((await vault.stores.identity.loginFailures(tx, administrator, workstation, since)) >= DEFAULTS.loginFailures) return false;
  await vault.stores.identity.recordLoginFailure(tx, administrator, workstation);
  return true;
}

/** A code that could not be looked at was not wrong: only this one attempt is taken back, so a busy HSM resets nobody's count. */
export async function withdrawTry({ administrator, workstation }: Tried, error: unknown, vault: Pick<Vault, 'stores'>): Promise<never> {
  await vault.stores.unitOfWork.run((tx) => vault.stores.identity.withdrawLoginFailure(tx, administrator, workstation));
  throw error;
}

/** The time step whose code this is, by the person's authenticator, or undefined. */
export async function timeStepOf(person: Equipped, code: string, now: Date, vault: Ports): Promise<number | undefined> {
  const wrapped = decodeWrappedKey(fromBase64(person.authenticator.wrappedSeed));
  const aad = totpSeedAad(vault.vaultId, person.administratorId, person.authenticator.id, wrapped.kek);
  using seed = await vault.keys.unwrap(wrapped, aad);
  return totpTimeStep(seed, code, now);
}

/** Claims the time step in the database that all nodes share, and forgets the failures. False when that code, or a later one, was used. */
export async function acceptTimeStep(
  { administrator, workstation }: Tried,
  authenticatorId: string,
  timeStep: number,
  tx: Tx,
  vault: Pick<Vault, 'stores'>,
): Promise<boolean> {
  if (!(await vault.stores.identity.claimTimeStep(tx, authenticatorId, timeStep))) return false;
  await vault.stores.identity.forgetLoginFailures(tx, administrator, workstation);
  return true;
}

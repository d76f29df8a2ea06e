/**
 * Setting up an authenticator. Two people let a person in, or took a lost authenticator away, by a signed document that names their
 * workstations and no authenticator. From one of those workstations the person then asks for a seed, which nobody else ever sees, and shows
 * the first code: only then the vault signs the document that makes it theirs. What waits in between opens for that document, workstation
 * and time alone (`claimAad`), so a database writer can neither move it to another workstation nor put an older seed in its place.
 */
import { loggable } from '../audit/record.ts';
import { signDocument } from '../documents/document.ts';
import { lp, toBase64 } from '../domain/bytes.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { addSeconds } from '../domain/clock.ts';
import { VaultError } from '../domain/errors.ts';
import { newId, SYSTEM } from '../domain/ids.ts';
import type { SecretBytes } from '../domain/secret.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import type { ClaimRow } from '../identity/port.ts';
import { newTotpSeed, TOTP_ISSUER, totpEnrolmentUri, totpTimeStep } from '../identity/totp.ts';
import type { KeyRef } from '../keys/port.ts';
import { decodeWrappedKey, encodeWrappedKey, totpSeedAad } from '../keys/wrapped-key.ts';
import { type AdministratorBody, administratorByName } from './administrators.ts';
import { type Attempt, admitAttempt, refuseAttempt } from './attempts.ts';
import { actorOf } from './authorize.ts';
import { slotOf } from './documents.ts';
import { activeKek, sameKey } from './key-ring.ts';
import { acceptTimeStep, countTry, withdrawTry } from './second-factor.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'keys' | 'kek' | 'catalogueKey' | 'accessLog' | 'logRoom'>;

const WHAT = 'authenticator claim';

/**
 * Makes a seed for the person who was let in, and answers it once, as the link an authenticator app reads. Whoever has no authenticator to
 * set up on this workstation, or has begun less than ten minutes ago, gets `claim_refused`, recorded, and is not told why.
 */
export async function beginClaim(attempt: Attempt, vault: Ports): Promise<{ readonly uri: string; readonly confirmBefore: Date }> {
  await admitAttempt(attempt, WHAT, 'claim_refused', vault);
  const open = await vault.stores.unitOfWork.run((tx) => claimable(attempt, tx, vault));
  if (open === undefined) return refuseAttempt(attempt, WHAT, 'claim_refused', vault);
  const { person, now, kek } = open;
  const about = {
    administratorId: person.administratorId,
    authenticatorId: newId<string>(now),
    counter: person.counter,
    workstation: attempt.workstation,
    begunAt: now,
  };
  using seed = await newTotpSeed(vault.keys);
  const wrapped = await vault.keys.wrap(kek, seed, claimAad(about, kek, vault));
  const begun = await vault.stores.unitOfWork.run(async (tx) => {
    const still = await claimable(attempt, tx, vault);
    if (still?.person.counter !== person.counter) return false;
    await vault.stores.identity.putClaim(tx, { ...about, wrappedSeed: encodeWrappedKey(wrapped) });
    return true;
  });
  if (!begun) return refuseAttempt(attempt, WHAT, 'claim_refused', vault);
  return { uri: totpEnrolmentUri(seed, TOTP_ISSUER, person.name), confirmBefore: addSeconds(now, DEFAULTS.claimConfirmSeconds) };
}

/**
 * The first right code makes the authenticator the person's: durable and recorded when this resolves. A wrong one is `login_refused` and
 * counts like one of a login. Without a claim begun on this workstation in the last ten minutes: `claim_refused`. Both recorded.
 */
export async function confirmClaim(
  attempt: Attempt & { readonly code: string },
  vault: Ports,
): Promise<{ readonly administrator: string }> {
  await admitAttempt(attempt, WHAT, 'claim_refused', vault);
  const found = await vault.stores.unitOfWork.run(async (tx) => {
    const begun = await pending(attempt, tx, vault);
    return begun !== undefined && !(await countTry(attempt, tx, vault)) ? ('login_locked' as const) : begun;
  });
  if (found === undefined) return refuseAttempt(attempt, WHAT, 'claim_refused', vault);
  if (found === 'login_locked') return refuseAttempt(attempt, WHAT, 'login_locked', vault);
  const { claim, person, now, kek } = found;
  using seed = await openSeed(claim, vault).catch((error) => withdrawTry(attempt, error, vault));
  const timeStep = await totpTimeStep(seed, attempt.code, now);
  if (timeStep === undefined) return refuseAttempt(attempt, WHAT, 'login_refused', vault);
  const document = await signEquipped(person, claim, seed, { kek, now }, vault);
  const equipped = await vault.stores.unitOfWork.run(async (tx) => {
    const still = await pending(attempt, tx, vault);
    if (still?.claim.authenticatorId !== claim.authenticatorId) return false;
    if (!sameKey(still.kek, kek)) throw new VaultError('key_rotating'); // nobody would rewrap it any more
    if (!(await acceptTimeStep(attempt, claim.authenticatorId, timeStep, tx, vault))) return false;
    await vault.stores.identity.deleteClaim(tx, person.administratorId);
    await vault.stores.documents.put(tx, document);
    const counter = person.counter + 1;
    const slot = slotOf('administrator', person.administratorId);
    if (!(await vault.stores.documents.point(tx, SYSTEM, slot, { digest: document.digest, counter })))
      throw new VaultError('document_stale');
    await vault.accessLog.append(tx, {
      type: 'authenticator.claimed',
      outcome: 'success',
      actor: actorOf({ ...claim, workstation: attempt.workstation }),
      request: { requestId: loggable(attempt.requestId, 64) },
      document: { kind: 'administrator', digest: document.digest, counter, item: loggable(person.administratorId, 64) },
      personal: { administratorName: person.name, remoteAddress: attempt.remoteAddress },
    });
    return true;
  });
  return equipped ? { administrator: person.name } : refuseAttempt(attempt, WHAT, 'claim_refused', vault);
}

interface Open {
  readonly person: AdministratorBody;
  /** Wraps what is new. */
  readonly kek: KeyRef;
  readonly now: Date;
}

/** The person who may begin: let in, without an authenticator, not too long ago, on this workstation, and not begun already. */
async function claimable(attempt: Attempt, tx: Tx, vault: Ports): Promise<Open | undefined> {
  const open = await awaited(attempt, tx, vault);
  const begun = open && (await vault.stores.identity.claim(tx, open.person.administratorId));
  if (begun === undefined || begun.counter !== open?.person.counter || !confirmable(begun, tx)) return open;
  return undefined;
}

async function pending(attempt: Attempt, tx: Tx, vault: Ports): Promise<(Open & { readonly claim: ClaimRow }) | undefined> {
  const open = await awaited(attempt, tx, vault);
  const claim = open && (await vault.stores.identity.claim(tx, open.person.administratorId));
  const sound = claim?.workstation === attempt.workstation && claim.counter === open?.person.counter && confirmable(claim, tx);
  return open && claim && sound ? { ...open, claim } : undefined;
}

/** The signed document alone says who waits, where, and until when. */
async function awaited({ administrator, workstation }: Attempt, tx: Tx, vault: Ports): Promise<Open | undefined> {
  const person = await administratorByName(administrator, tx, vault);
  const waits =
    person?.state === 'active' &&
    person.authenticator === undefined &&
    person.workstations.includes(workstation) &&
    tx.now < addSeconds(new Date(person.createdAt), DEFAULTS.claimSeconds);
  return waits ? { person, now: tx.now, kek: await activeKek(SYSTEM, tx, vault) } : undefined;
}

function confirmable(claim: ClaimRow, tx: Tx): boolean {
  return tx.now < addSeconds(claim.begunAt, DEFAULTS.claimConfirmSeconds);
}

async function openSeed(claim: ClaimRow, vault: Ports): Promise<SecretBytes> {
  const wrapped = decodeWrappedKey(claim.wrappedSeed);
  return vault.keys.unwrap(wrapped, claimAad(claim, wrapped.kek, vault));
}

/** The document in force with the authenticator, and with the consents of those who let the person in. */
async function signEquipped(
  person: AdministratorBody,
  { authenticatorId }: ClaimRow,
  seed: SecretBytes,
  { kek, now }: Pick<Open, 'kek' | 'now'>,
  vault: Ports,
) {
  const wrapped = await vault.keys.wrap(kek, seed, totpSeedAad(vault.vaultId, person.administratorId, authenticatorId, kek));
  const authenticator = { id: authenticatorId, kind: 'totp' as const, wrappedSeed: toBase64(encodeWrappedKey(wrapped)) };
  const body = { ...person, createdAt: now.toISOString(), counter: person.counter + 1, authenticator };
  return signDocument('administrator', body, vault.catalogueKey.sign);
}

/** LP("weight-vault totp claim v1", vaultId, administratorId, authenticatorId, counter, workstation, begunAt in ms, kekId, kekVersion). */
function claimAad(claim: Omit<ClaimRow, 'wrappedSeed'>, kek: KeyRef, { vaultId }: Pick<Vault, 'vaultId'>): Uint8Array {
  const { administratorId, authenticatorId, counter, workstation, begunAt } = claim;
  return lp(
    'weight-vault totp claim v1',
    vaultId,
    administratorId,
    authenticatorId,
    String(counter),
    workstation,
    String(begunAt.getTime()),
    kek.id,
    String(kek.version),
  );
}

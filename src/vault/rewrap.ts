/**
 * After a rotation: wraps every DEK and every authenticator seed anew under the active version of the KEK, a few each round. Promise P8:
 * each is replaced by one compare-and-set of one row, after the HSM has opened the new blob; a crash leaves it under exactly one version.
 */
import { loggable } from '../audit/record.ts';
import type { WrappedDek } from '../catalog/port.ts';
import { signDocument } from '../documents/document.ts';
import { fromBase64, toBase64 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { SYSTEM, type VersionId } from '../domain/ids.ts';
import type { KeyRef } from '../keys/port.ts';
import { decodeWrappedKey, dekWrapAad, encodeWrappedKey, totpSeedAad } from '../keys/wrapped-key.ts';
import { type AdministratorBody, administratorInForce } from './administrators.ts';
import { slotOf } from './documents.ts';
import { activeOf, kekName, keyRing } from './key-ring.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'kek' | 'keys' | 'accessLog'>;

/** Bounds what one round asks of the HSM: three operations each. */
const PER_ROUND = 50;
/** After a pass that could not do everything. */
const ROUNDS_BEFORE_TRYING_AGAIN = 60;

export interface Rewrapper {
  /** Some of the work. Resolves false while a pass is under way. */
  round(): Promise<boolean>;
}

/** `onFailure`: a key that cannot be rewrapped is left as it is, under the version that opens it, and does not stop the others. */
export function createRewrapper(vault: Ports, onFailure: (what: string, error: unknown) => void): Rewrapper {
  let finished = 0; // the key ring's counter for which a whole pass is done; before the first rotation there is nothing to do
  let after: VersionId | undefined;
  let failures = 0;
  let pause = 0;
  const attempt = async (what: string, work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      if (error instanceof VaultError && error.retryable) throw error; // the HSM is away: the next round begins here again
      failures++;
      onFailure(what, error);
    }
  };

  return {
    async round() {
      if (pause > 0) {
        pause--;
        return true;
      }
      const { ring, page } = await vault.stores.unitOfWork.run(async (tx) => ({
        ring: await keyRing(tx, vault),
        page: await vault.stores.catalog.wrappedDeks(tx, PER_ROUND, after),
      }));
      if (ring.counter === finished) return true;
      const active = activeOf(ring, vault);
      for (const dek of page) await attempt(`version ${dek.versionId}`, () => rewrapDek(dek, active, vault));
      if (page.length === PER_ROUND) {
        after = page.at(-1)?.versionId;
        return false;
      }
      const people = await vault.stores.unitOfWork.run((tx) => vault.stores.identity.administrators(tx));
      for (const { administratorId } of people) {
        await attempt(`administrator ${administratorId}`, () => rewrapSeed(administratorId, active, vault));
      }
      after = undefined;
      if (failures === 0) finished = ring.counter;
      else pause = ROUNDS_BEFORE_TRYING_AGAIN;
      failures = 0;
      return true;
    },
  };
}

async function rewrapDek(row: WrappedDek, to: KeyRef, vault: Ports): Promise<void> {
  const wrapped = decodeWrappedKey(row.wrappedDek);
  if (kekName(wrapped.kek) === kekName(to)) return;
  const context = { vaultId: vault.vaultId, namespace: row.namespace, modelId: row.modelId, versionId: row.versionId };
  const again = await vault.keys.rewrap(wrapped, dekWrapAad(context, wrapped.kek), to, dekWrapAad(context, to));
  await vault.stores.unitOfWork.run(async (tx) => {
    if (!(await vault.stores.catalog.rewrap(tx, row.versionId, row.wrappedDek, encodeWrappedKey(again)))) return; // another node was quicker
    await vault.accessLog.append(tx, {
      type: 'key.rewrapped',
      outcome: 'success',
      namespace: row.namespace,
      actor: { kind: 'system' },
      object: { modelId: row.modelId, versionId: row.versionId },
      key: to,
    });
  });
}

/** The seed stands in a signed document, so the same person is signed anew, one counter on. */
async function rewrapSeed(administratorId: AdministratorBody['administratorId'], to: KeyRef, vault: Ports): Promise<void> {
  const { person, now } = await vault.stores.unitOfWork.run(async (tx) => ({
    person: await administratorInForce(administratorId, tx, vault),
    now: tx.now,
  }));
  if (person?.authenticator === undefined) return;
  const { authenticator } = person;
  const wrapped = decodeWrappedKey(fromBase64(authenticator.wrappedSeed));
  if (kekName(wrapped.kek) === kekName(to)) return;
  const aadUnder = (kek: KeyRef) => totpSeedAad(vault.vaultId, administratorId, authenticator.id, kek);
  const again = await vault.keys.rewrap(wrapped, aadUnder(wrapped.kek), to, aadUnder(to));
  const counter = person.counter + 1;
  const wrappedSeed = toBase64(encodeWrappedKey(again));
  const document = await signDocument(
    'administrator',
    { ...person, counter, createdAt: now.toISOString(), authenticator: { ...authenticator, wrappedSeed } },
    vault.catalogueKey.sign,
  );
  await vault.stores.unitOfWork.run(async (tx) => {
    await vault.stores.documents.put(tx, document);
    const pointer = { digest: document.digest, counter };
    if (!(await vault.stores.documents.point(tx, SYSTEM, slotOf('administrator', administratorId), pointer))) {
      throw new VaultError('document_stale', 'the person was changed meanwhile');
    }
    await vault.accessLog.append(tx, {
      type: 'key.rewrapped',
      outcome: 'success',
      actor: { kind: 'system' },
      document: { kind: 'administrator', digest: document.digest, counter, item: loggable(administratorId, 64) },
      key: to,
    });
  });
}

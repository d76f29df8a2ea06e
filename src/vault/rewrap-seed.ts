/** An authenticator's seed under another version of the KEK. It stands in a signed document, so the same person is signed anew, one counter on. */
import { loggable } from '../audit/record.ts';
import { signDocument } from '../documents/document.ts';
import { fromBase64, toBase64 } from '../domain/bytes.ts';
import { VaultError } from '../domain/errors.ts';
import { SYSTEM } from '../domain/ids.ts';
import type { KeyRef } from '../keys/port.ts';
import { decodeWrappedKey, encodeWrappedKey, totpSeedAad } from '../keys/wrapped-key.ts';
import { type AdministratorBody, administratorInForce } from './administrators.ts';
import { slotOf } from './documents.ts';
import { sameKey } from './key-ring.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'keys' | 'accessLog'>;

/**
 * False when it is under `to` already, or there is none. A suspended key does not stop it: people must be able to log in and lift the
 * suspension (docs/decisions).
 */
export async function rewrapSeed(administratorId: AdministratorBody['administratorId'], to: KeyRef, vault: Ports): Promise<boolean> {
  const { person, now } = await vault.stores.unitOfWork.run(async (tx) => ({
    person: await administratorInForce(administratorId, tx, vault),
    now: tx.now,
  }));
  if (person?.authenticator === undefined) return false;
  const { authenticator } = person;
  const wrapped = decodeWrappedKey(fromBase64(authenticator.wrappedSeed));
  if (sameKey(wrapped.kek, to)) return false;
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
  return true;
}

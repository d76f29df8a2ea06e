/**
 * Other keys sign for a vault from now on: after a recovery, and when it moves to another HSM. One catalogue key verifies at a time, so every
 * document is signed again, the access log goes on as the same tree, and a new `vault` document names the keys and the document that it succeeds.
 */
import { openCheckpoint, signCheckpoint } from '../audit/checkpoint.ts';
import { verifierKey } from '../audit/vkey.ts';
import { documentMessage, signDocument, verifyDocument } from '../documents/document.ts';
import type { SignedDocument } from '../documents/port.ts';
import { fromBase64, toBase64 } from '../domain/bytes.ts';
import { codeOf, VaultError } from '../domain/errors.ts';
import type { Digest, KeyId } from '../domain/ids.ts';
import type { KeyInfo, KeyProvider, KeyPurpose, KeyRef } from '../keys/port.ts';
import type { KeyRing, KeyVersion } from './key-ring.ts';
import type { StoredVault } from './stored-vault.ts';
import type { Vault } from './vault.ts';

export type SignMessage = (message: Uint8Array) => Promise<Uint8Array>;

export interface SigningKeys {
  readonly catalogue: KeyInfo;
  readonly log: KeyInfo;
}

const PAGE = 200;

/** The next version of each: a number is never used twice, in whatever HSM. */
export async function makeSigningKeys({ catalogueKey, logKey }: StoredVault['identity'], keys: KeyProvider): Promise<SigningKeys> {
  return {
    catalogue: await makeOrFind({ id: catalogueKey.id as KeyId, version: catalogueKey.version + 1 }, 'catalogue', keys),
    log: await makeOrFind({ id: logKey.id as KeyId, version: logKey.version + 1 }, 'log', keys),
  };
}

/** Finds what an attempt that was interrupted made. */
export async function makeOrFind(ref: KeyRef, purpose: KeyPurpose, keys: KeyProvider): Promise<KeyInfo> {
  await keys.generate(ref, purpose).catch((error) => {
    if (codeOf(error) !== 'key_exists') throw error;
  });
  const made = await keys.describe(ref);
  if (made.purpose !== purpose || made.extractable) throw new VaultError('key_state_conflict', 'the HSM holds another key of that name');
  return made;
}

/** What does not verify under the key before was altered, and is left as it is: nothing will believe it. */
export async function signAgain(sign: SignMessage, { stores, catalogueKey }: StoredVault): Promise<void> {
  for (let after: Digest | undefined; ; ) {
    const page = await stores.unitOfWork.run((tx) => stores.documents.page(tx, PAGE, after));
    const signed: Array<readonly [SignedDocument, Uint8Array]> = [];
    for (const document of page) {
      if (!verifies(document, catalogueKey)) continue;
      signed.push([document, await sign(documentMessage(document.kind, document.bytes))]);
    }
    await stores.unitOfWork.run(async (tx) => {
      for (const [{ digest }, signature] of signed) await stores.documents.resign(tx, digest, signature);
    });
    after = page.at(-1)?.digest;
    if (page.length < PAGE) return;
  }
}

function verifies(document: SignedDocument, key: StoredVault['catalogueKey']): boolean {
  try {
    verifyDocument(document, document, key.publicKey);
    return true;
  } catch {
    return false;
  }
}

/** The same size and root, by the new key: consistency with every checkpoint that was signed before can still be proved. Undefined: there is none. */
export async function signLogAgain(log: KeyInfo, { stores, identity }: StoredVault, keys: KeyProvider): Promise<Uint8Array | undefined> {
  const head = await stores.unitOfWork.run((tx) => stores.log.head(tx));
  if (head === undefined) return undefined;
  const { size, root } = openCheckpoint(head.checkpoint, verifierKey(identity.origin, fromBase64(identity.logKey.publicKey)));
  const key = verifierKey(identity.origin, publicKeyOf(log));
  const checkpoint = await signCheckpoint(size, root, key, (text) => keys.sign(log.ref, text));
  await stores.unitOfWork.run((tx) => stores.log.resignHead(tx, { size, checkpoint }));
  return checkpoint;
}

/** Nothing names it until `vault.json` does. */
export async function putVault(made: SigningKeys, now: Date, sign: SignMessage, old: StoredVault): Promise<SignedDocument> {
  const { origin, administrators, kek } = old.identity;
  const named = (info: KeyInfo) => ({ id: info.ref.id, version: info.ref.version, publicKey: toBase64(publicKeyOf(info)) });
  const keys = { kek, catalogueKey: named(made.catalogue), logKey: named(made.log) };
  const head = { v: 2 as const, vaultId: old.vaultId, createdAt: now.toISOString(), origin };
  const document = await signDocument('vault', { ...head, ...keys, administrators, succeeds: old.document }, sign);
  await old.stores.unitOfWork.run((tx) => old.stores.documents.put(tx, document));
  return document;
}

export interface Successor {
  readonly old: StoredVault;
  readonly accessLog: Vault['accessLog'];
  readonly sign: SignMessage;
  readonly now: Date;
}

/** The next document of a ring, by no new decision, and its record: nobody can point the slot back. Throws `document_stale` when somebody was quicker. */
export async function putRing(ring: KeyRing, keks: readonly KeyVersion[], { old, accessLog, sign, now }: Successor): Promise<void> {
  const { namespace, cryptoperiodDays, destructionWaitDays, consents } = ring;
  const counter = ring.counter + 1;
  const head = { v: 2 as const, vaultId: old.vaultId, createdAt: now.toISOString(), namespace, counter };
  const body = { ...head, cryptoperiodDays, destructionWaitDays, keks: keks.map((kek) => ({ ...kek })), consents };
  const document = await signDocument('key-ring', body, sign);
  const { digest } = document;
  await old.stores.unitOfWork.run(async (tx) => {
    await old.stores.documents.put(tx, document);
    if (!(await old.stores.documents.point(tx, namespace, 'key-ring', { digest, counter }))) throw new VaultError('document_stale');
    await accessLog.append(tx, {
      type: 'document.activated',
      outcome: 'success',
      namespace,
      actor: { kind: 'system' },
      document: { kind: 'key-ring', digest, counter },
    });
  });
}

export function publicKeyOf({ publicKey }: KeyInfo): Uint8Array {
  if (publicKey === undefined) throw new VaultError('hsm_mechanism_missing', 'the signing key has no public key');
  return publicKey;
}

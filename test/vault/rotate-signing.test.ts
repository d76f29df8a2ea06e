/** Other keys sign from now on: what the former HSM must not hold any more, what the key before says about the one after, and what stays behind. */
import { createPublicKey } from 'node:crypto';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createAccessLog } from '../../src/audit/access-log.ts';
import { openCheckpoint } from '../../src/audit/checkpoint.ts';
import { createSequencer } from '../../src/audit/sequencer.ts';
import { formatVkey, verifierKey } from '../../src/audit/vkey.ts';
import { verifyDocument } from '../../src/documents/document.ts';
import type { SignedDocument } from '../../src/documents/port.ts';
import { sha256Hex } from '../../src/domain/bytes.ts';
import { type Digest, type Incarnation, type KeyId, newId, SYSTEM } from '../../src/domain/ids.ts';
import { createMovingKeyProvider } from '../../src/keys/moving-provider.ts';
import type { KeyProvider } from '../../src/keys/port.ts';
import type { Stores } from '../../src/stores/port.ts';
import { snapshotSqlite } from '../../src/stores/sqlite/snapshot.ts';
import { openSqliteStores } from '../../src/stores/sqlite/sqlite-stores.ts';
import { destroyKeys } from '../../src/vault/destroy-keys.ts';
import { LOG_KEY } from '../../src/vault/init.ts';
import { createRewrapper } from '../../src/vault/rewrap.ts';
import { announceSigning, signAllAgain } from '../../src/vault/rotate-signing.ts';
import { publicKeyOf, type SigningKeys } from '../../src/vault/signing-keys.ts';
import { type StoredVault, storedVault, verifyStoredLog } from '../../src/vault/stored-vault.ts';
import { createMemoryKeyProvider } from '../doubles/memory-key-provider.ts';
import { codeFrom, ORIGIN, TestVault } from './test-vault.ts';

const KEK = { id: 'kek-default' as KeyId, version: 1 };
const ofKey = <K extends 'rotate-key' | 'create-key' | 'destroy-key'>(kind: K, counter: number, version: number) => ({
  ...{ kind, namespace: SYSTEM, counter, keyId: KEK.id, version },
});

let vault: TestVault;
/** What the vault moves to; its keeper reaches both until the end. */
let current: KeyProvider;
let former: KeyProvider;
let opened: Stores[] = [];
beforeEach(async () => {
  vault = await TestVault.ready();
  former = { ...vault.keys };
  current = createMemoryKeyProvider();
  Object.assign(vault.keys, createMovingKeyProvider({ current, former }));
});
afterEach(async () => {
  for (const stores of opened) await stores.close();
  opened = [];
  await vault.remove();
});

async function migrate(): Promise<void> {
  await vault.twoPeople(ofKey('rotate-key', 1, 2));
  const rewrapper = createRewrapper(vault.vault, () => undefined);
  for (let rounds = 0; !(await rewrapper.round()).idle; rounds++) expect(rounds).toBeLessThan(100);
}

async function stored(file: string, vaultDocument: Digest = vault.site.made.vaultDocument): Promise<StoredVault> {
  const stores = await openSqliteStores({ file, clock: vault.clock });
  opened.push(stores);
  return storedVault(stores, { vaultId: vault.site.made.vaultId, vaultDocument });
}

const logOf = ({ stores, vaultId, document }: StoredVault) =>
  createAccessLog({ log: stores.log, vaultId, node: newId<Incarnation>(vault.clock.now()), configDigest: document });

async function announce(keys: KeyProvider) {
  const old = await stored(vault.site.file);
  const node = newId<Incarnation>(vault.clock.now());
  const parts = { unitOfWork: old.stores.unitOfWork, log: old.stores.log, origin: ORIGIN, node, clock: vault.clock };
  const publicKey = vault.site.made.logPublicKey;
  const sequencer = createSequencer({ ...parts, publicKey, sign: (text) => former.sign(LOG_KEY, text) });
  const announced = await announceSigning({ old, keys, accessLog: logOf(old), sequencer }, vault.clock.now());
  await sequencer.stop();
  return announced;
}

async function rotated(keys: KeyProvider = current) {
  const announced = await announce(keys);
  const file = join(vault.site.folder, 'copy.db');
  snapshotSqlite(vault.site.file, file, vault.clock);
  const copy = await stored(file);
  const done = await signAllAgain({ copy, keys, accessLog: logOf(copy) }, announced, vault.clock.now());
  return { ...done, announced, after: await stored(file, announced.vaultDocument) };
}

const catalogueOf = ({ catalogue }: SigningKeys) =>
  createPublicKey({ key: Buffer.from(publicKeyOf(catalogue)), format: 'der', type: 'spki' });

async function documentsOf({ stores }: StoredVault): Promise<readonly SignedDocument[]> {
  return stores.unitOfWork.run((tx) => stores.documents.page(tx, 1_000));
}

test('is refused while something is wrapped under a version that is in the former HSM, or would be next', async () => {
  await vault.publish('falcon', 'restricted');
  expect(await codeFrom(announce(current))).toBe('key_in_use'); // not moved yet
  await vault.twoPeople(ofKey('rotate-key', 1, 2));
  expect(await codeFrom(announce(current))).toBe('key_in_use'); // not rewrapped yet
  const rewrapper = createRewrapper(vault.vault, () => undefined);
  for (let rounds = 0; !(await rewrapper.round()).idle; rounds++) expect(rounds).toBeLessThan(100);
  await former.generate({ ...KEK, version: 3 }, 'kek');
  await vault.twoPeople(ofKey('create-key', 2, 3)); // found there, and so it would be used there
  expect(await codeFrom(announce(current))).toBe('key_in_use');
  expect(vault.records('signing.rotated')).toEqual([]);
  expect(await codeFrom(current.describe({ id: 'access-log' as KeyId, version: 2 }))).toBe('key_unknown');
});

test('a wrapped key that cannot be read may need the former HSM, and stands in the way', async () => {
  const version = await vault.publish('falcon', 'restricted');
  await migrate();
  vault.sql('UPDATE versions SET wrapped_dek = ? WHERE version_id = ?', Buffer.alloc(80), version.versionId);
  expect(await codeFrom(announce(current))).toBe('key_in_use');
});

test('the key before signs that there is one after; interrupted there, the vault is as it was', async () => {
  await migrate();
  const { checkpoint, logKey, vaultDocument } = await announce(current);
  const before = verifierKey(ORIGIN, vault.site.made.logPublicKey);
  const { size } = openCheckpoint(checkpoint, before);
  expect(await codeFrom(Promise.resolve().then(() => openCheckpoint(checkpoint, logKey)))).toBe('note_signature_invalid');
  const [said] = vault.records('signing.rotated');
  expect(said).toMatchObject({ detail: formatVkey(logKey), document: { kind: 'vault', digest: vaultDocument }, outcome: 'success' });
  const { leaf_index: index } = vault.row('SELECT max(leaf_index) AS leaf_index FROM log_leaves');
  expect(size).toBe(Number(index) + 1);
  expect((await verifyStoredLog(await stored(vault.site.file)))?.problems).toEqual([]);
  const machine = await vault.machine('gpu-1');
  const version = await vault.publish('falcon', 'internal');
  expect(await codeFrom(vault.ask({ machine, version }))).toBe('nothing thrown');
});

test('afterwards every document verifies under the new key alone, and the log goes on under its own', async () => {
  await vault.publish('falcon', 'restricted');
  await migrate();
  const { after, announced, checkpoint, left } = await rotated();
  const documents = await documentsOf(after);
  expect(documents.length).toBeGreaterThan(10);
  for (const document of documents) {
    const own = document.digest === announced.vaultDocument;
    expect(() => verifyDocument(document, document, catalogueOf(announced.made))).not.toThrow();
    if (!own) expect(() => verifyDocument(document, document, vault.vault.catalogueKey.publicKey)).toThrow();
  }
  expect(after.identity).toMatchObject({
    v: 2,
    succeeds: vault.site.made.vaultDocument,
    logKey: { version: 2 },
    catalogueKey: { version: 2 },
  });
  const report = await verifyStoredLog(after);
  expect(report?.problems).toEqual([]);
  expect(openCheckpoint(checkpoint ?? new Uint8Array(), announced.logKey)).toEqual(
    openCheckpoint(announced.checkpoint, verifierKey(ORIGIN, vault.site.made.logPublicKey)),
  );
  expect(left).toEqual(['kek-default/1']);
});

test('a document that a database writer planted is not signed for', async () => {
  await migrate();
  const [victim] = await documentsOf(await stored(vault.site.file));
  const bytes = Buffer.from(
    Buffer.from(victim?.bytes ?? [])
      .toString('utf8')
      .replace('2026-', '2027-'),
  );
  const digest = sha256Hex(bytes);
  const planted = [digest, victim?.kind, bytes, victim?.signature];
  vault.sql('INSERT INTO documents (digest, kind, bytes, signature) VALUES (?, ?, ?, ?)', ...planted);
  const { after, announced } = await rotated();
  const found = (await documentsOf(after)).find((one) => one.digest === digest) as SignedDocument;
  expect(() => verifyDocument(found, found, catalogueOf(announced.made))).toThrow('is not signed by the catalogue key');
});

test('what stays in the former HSM is on record, and a destruction decided for it says that it remains there', async () => {
  await migrate();
  await vault.twoPeople(ofKey('destroy-key', 2, 1));
  const { after, announced } = await rotated();
  const ring = JSON.parse(Buffer.from((await after.stores.unitOfWork.run((tx) => after.stores.log.newestLeaf(tx))) ?? []).toString('utf8'));
  expect(ring).toMatchObject({ type: 'document.activated', document: { kind: 'key-ring', counter: 3 } }); // nobody can point the slot back
  vault.clock.advance(15 * 86_400);
  const sign = (message: Uint8Array) => current.sign(announced.made.catalogue.ref, message);
  const ports = {
    ...after,
    catalogueKey: { publicKey: catalogueOf(announced.made), sign },
    kek: after.identity.kek,
    keys: current,
    accessLog: logOf(after),
  };
  expect(await destroyKeys(ports)).toMatchObject({ gone: [KEK] });
  expect(await destroyKeys(ports)).toEqual({ gone: [], waiting: [] });
  const newest = await after.stores.unitOfWork.run((tx) => after.stores.log.newestLeaf(tx));
  expect(JSON.parse(Buffer.from(newest ?? []).toString('utf8'))).toMatchObject({
    type: 'key.destroyed',
    destruction: { keks: ['kek-default/1'], remains: [{ what: 'former-hsm', id: 'kek-default/1' }] },
  });
  expect(await former.describe(KEK)).toMatchObject({ purpose: 'kek' });
});

test('in one HSM it is a rotation of the signing keys; an attempt that was interrupted is taken up', async () => {
  await migrate();
  await announce(vault.keys);
  const { after, left } = await rotated(vault.keys);
  expect(left).toEqual([]);
  expect(after.identity.logKey.version).toBe(2);
  expect((await verifyStoredLog(after))?.problems).toEqual([]);
});

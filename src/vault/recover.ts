/**
 * The HSM is lost: a quorum opens the recovery wraps, and the vault goes on with keys in a new one. Works on a copy of the database that
 * nobody serves; compose-recovery.ts puts it in place when all of it is done.
 *
 *   DEKs        opened with the recovery key, compared with the signed manifest, wrapped under the next version of the vault's KEK
 *   documents   each that verifies under the lost catalogue key is signed again by the new one; the old signatures are kept beside
 *   people      their seeds are lost: each sets up a new authenticator on their own workstation (`wv admin claim`)
 *   access log  goes on: the same tree and origin, its last checkpoint signed again by a new log key
 *   vault       a new signed `vault` document names the new keys and the document it succeeds
 */
import { createPublicKey } from 'node:crypto';
import { loggable } from '../audit/record.ts';
import { type VerifierKey, verifierKey } from '../audit/vkey.ts';
import type { WrappedDek } from '../catalog/port.ts';
import { signDocument } from '../documents/document.ts';
import { fromBase64 } from '../domain/bytes.ts';
import { codeOf, VaultError } from '../domain/errors.ts';
import { type Digest, SYSTEM, type VersionId } from '../domain/ids.ts';
import type { KekWrap } from '../domain/kek-wrap.ts';
import type { SecretBytes } from '../domain/secret.ts';
import type { KeyProvider, KeyRef } from '../keys/port.ts';
import { type DekContext, dekWrapAad, encodeWrappedKey } from '../keys/wrapped-key.ts';
import { floeAad, objectKey } from '../sealed/object-key.ts';
import { SegmentOpener } from '../sealed/segment.ts';
import { activeAdministrators } from './administrators.ts';
import { slotOf } from './documents.ts';
import { type KeyRing, type KeyVersion, keyRings } from './key-ring.ts';
import {
  makeOrFind,
  makeSigningKeys,
  publicKeyOf,
  putRing,
  putVault,
  type SigningKeys,
  type SignMessage,
  signAgain,
  signLogAgain,
} from './signing-keys.ts';
import type { StoredVault } from './stored-vault.ts';
import type { Vault } from './vault.ts';
import { readManifest } from './version.ts';

/** Opens a version's DEK, or throws `key_unwrap_refused`. */
export type OpenDek = (wrapped: Uint8Array, context: DekContext) => Promise<SecretBytes>;

export interface Recovered {
  /** For vault.json. */
  readonly vaultDocument: Digest;
  /** For those who verify the access log. */
  readonly logKey: VerifierKey;
  readonly kek: KeyRef;
  readonly recovered: number;
  /** Nothing opens these any more, and why. */
  readonly lost: ReadonlyArray<{ readonly versionId: VersionId; readonly why: string }>;
  /** Who sets up a new authenticator. */
  readonly people: readonly string[];
  /** The signed checkpoint the log continues from; undefined when it never had one. */
  readonly checkpoint: Uint8Array | undefined;
}

type Ports = { readonly old: StoredVault; readonly keys: KeyProvider; readonly accessLog: Vault['accessLog'] };

const PAGE = 200;

/** `old` was verified: its log down to every record. Doing it again after an interruption finds the keys that it made. */
export async function recover(ports: Ports, open: OpenDek, now: Date): Promise<Recovered> {
  const { old } = ports;
  const made = await makeKeys(ports);
  const sign = (message: Uint8Array) => ports.keys.sign(made.catalogue.ref, message);
  const { recovered, lost } = await recoverDeks(made.kek, open, ports);
  const rings = await old.stores.unitOfWork.run((tx) => keyRings(tx, ringPorts(old)));
  await signAgain(sign, old);
  const catalogueKey = { publicKey: createPublicKey({ key: Buffer.from(publicKeyOf(made.catalogue)), format: 'der', type: 'spki' }), sign };
  const people = await resetPeople(now, sign, { ...ports, old: { ...old, catalogueKey } }); // signed by the new key now
  for (const ring of rings)
    await putRing({ ...ring, consents: [] }, afterLoss(ring, made, now), { old, accessLog: ports.accessLog, sign, now });
  const checkpoint = await signLogAgain(made.log, old, ports.keys);
  const vault = await putVault(made, now, sign, old);
  await old.stores.unitOfWork.run((tx) =>
    ports.accessLog.append(tx, {
      type: 'vault.recovered',
      outcome: 'success',
      actor: { kind: 'system' },
      detail: loggable(`${recovered} versions recovered, ${lost.length} lost; succeeds ${old.document}`, 256),
      document: { kind: 'vault', digest: vault.digest },
      key: made.kek,
    }),
  );
  const logKey = verifierKey(old.identity.origin, publicKeyOf(made.log));
  return { vaultDocument: vault.digest, logKey, kek: made.kek, recovered, lost, people, checkpoint };
}

const ringPorts = (old: StoredVault) => ({ ...old, kek: old.identity.kek });

interface Made extends SigningKeys {
  readonly kek: KeyRef;
  readonly wrap: KekWrap | undefined;
}

async function makeKeys({ old, keys }: Ports): Promise<Made> {
  const rings = await old.stores.unitOfWork.run((tx) => keyRings(tx, ringPorts(old)));
  const ring = rings.find(({ namespace }) => namespace === SYSTEM);
  const id = old.identity.kek.id;
  const kek = { id, version: Math.max(0, ...(ring?.keks ?? []).map(({ version }) => version)) + 1 };
  const { wrap } = await makeOrFind(kek, 'kek', keys);
  return { kek, wrap, ...(await makeSigningKeys(old.identity, keys)) };
}

async function recoverDeks(kek: KeyRef, open: OpenDek, ports: Ports) {
  const { stores } = ports.old;
  const lost: Array<{ versionId: VersionId; why: string }> = [];
  let recovered = 0;
  for (let after: VersionId | undefined; ; ) {
    const page = await stores.unitOfWork.run((tx) => stores.catalog.wrappedDeks(tx, PAGE, after));
    for (const row of page) {
      try {
        await recoverDek(row, kek, open, ports);
        recovered++;
      } catch (error) {
        if (error instanceof VaultError && error.retryable) throw error;
        lost.push({ versionId: row.versionId, why: codeOf(error) });
      }
    }
    after = page.at(-1)?.versionId;
    if (page.length < PAGE) return { recovered, lost };
  }
}

async function recoverDek(row: WrappedDek, kek: KeyRef, open: OpenDek, { old, keys, accessLog }: Ports): Promise<void> {
  const { stores, vaultId } = old;
  const { namespace, modelId, versionId } = row;
  const wrap = await stores.unitOfWork.run((tx) => stores.catalog.recoveryWrap(tx, versionId));
  if (wrap === undefined) throw new VaultError('key_unwrap_refused', 'it was never wrapped for recovery');
  const context = { vaultId, namespace, modelId, versionId };
  using dek = await open(wrap.wrapped, context);
  await assertOpens(dek, row, old);
  const wrapped = encodeWrappedKey(await keys.wrap(kek, dek, dekWrapAad(context, kek)));
  await stores.unitOfWork.run(async (tx) => {
    if (!(await stores.catalog.rewrap(tx, versionId, row.wrappedDek, wrapped))) throw new VaultError('store_unavailable', 'a vault serves');
    await accessLog.append(tx, {
      type: 'key.rewrapped',
      outcome: 'success',
      namespace,
      actor: { kind: 'system' },
      object: { modelId, versionId },
      key: kek,
    });
  });
}

/** Anyone can make a recovery wrap of a DEK of their own. The header in the signed manifest commits to the real one. */
async function assertOpens(dek: SecretBytes, { namespace, versionId }: WrappedDek, old: StoredVault): Promise<void> {
  const manifest = await old.stores.unitOfWork.run(async (tx) => {
    const row = await old.stores.catalog.version(tx, namespace, versionId);
    if (row?.versionDigest === undefined) throw new VaultError('version_state_conflict', 'it was still being uploaded');
    return readManifest(row, tx, old);
  });
  const [object] = manifest.objects;
  if (object === undefined) throw new VaultError('manifest_mismatch', 'the manifest has no object');
  const { segmentBytes, rotationMask } = manifest.suite;
  using key = objectKey(dek, versionId, object.path);
  const aad = floeAad(namespace, versionId, object.path);
  new SegmentOpener(fromBase64(object.header), { key, aad, segmentBytes, rotationMask }).dispose();
}

/** Two people let each of them in once; the quorum only takes authenticators away that nobody can check any more. */
async function resetPeople(now: Date, sign: SignMessage, { old }: Ports): Promise<readonly string[]> {
  const { stores } = old;
  const people = await stores.unitOfWork.run((tx) => activeAdministrators(tx, old));
  for (const person of people) {
    const { authenticator: _, ...rest } = person;
    const counter = person.counter + 1;
    const document = await signDocument('administrator', { ...rest, counter, createdAt: now.toISOString(), consents: [] }, sign);
    await stores.unitOfWork.run(async (tx) => {
      await stores.documents.put(tx, document);
      const slot = slotOf('administrator', person.administratorId);
      if (!(await stores.documents.point(tx, SYSTEM, slot, { digest: document.digest, counter }))) throw new VaultError('document_stale');
      await stores.identity.deleteSessionsOf(tx, person.administratorId);
      await stores.identity.deleteClaim(tx, person.administratorId);
    });
  }
  return people.map(({ name }) => name);
}

/** A lost HSM may have been found by somebody: every version in it counts as compromised, and nobody can say that one is destroyed there. */
function afterLoss(ring: KeyRing, { kek, wrap }: Made, now: Date): KeyVersion[] {
  const at = now.toISOString();
  const before = ring.keks.map((one): KeyVersion => {
    if (one.state === 'destroyed') return { ...one };
    const left = { ...one, leftAt: one.leftAt ?? at };
    return one.state === 'compromised' ? left : { ...left, state: 'compromised', compromisedAt: at };
  });
  const next = { ...kek, ...(wrap && { wrap }), state: 'active' as const, createdAt: at, activatedAt: at };
  return ring.namespace === SYSTEM ? [...before, next] : before;
}

/** publish = authorize, new DEK, seal while reading (one pass: digest, encrypt, store), sign the manifest, quarantine. */
import { createHash } from 'node:crypto';
import { loggable } from '../audit/record.ts';
import type { ModelRow, VersionRow } from '../catalog/port.ts';
import { signDocument } from '../documents/document.ts';
import { toBase64 } from '../domain/bytes.ts';
import { CLASSES, type ClassName } from '../domain/classes.ts';
import { VaultError } from '../domain/errors.ts';
import {
  type BlobName,
  type Digest,
  foldPath,
  type ModelId,
  type Namespace,
  newId,
  type ObjectPath,
  SYSTEM,
  type VersionId,
} from '../domain/ids.ts';
import { type Manifest, type ManifestObject, SEGMENTS_PER_UNIT, type Unit } from '../domain/model.ts';
import { newDek } from '../keys/dek.ts';
import { wrapForRecovery } from '../keys/recovery-wrap.ts';
import { decodeWrappedKey, dekWrapAad, encodeWrappedKey } from '../keys/wrapped-key.ts';
import { floeAad, objectKey } from '../sealed/object-key.ts';
import { sealStream } from '../sealed/stream.ts';
import { FLOE, PRODUCTION_SEGMENT_BYTES } from '../sealed/suites.ts';
import { requestApproval } from './approve.ts';
import { type AdminActor, actorOf, authorize, personalOf } from './authorize.ts';
import { assertSeals, sameKey, wrappingKek } from './key-ring.ts';
import type { OperationPorts } from './operations/operation.ts';
import { recoveryKeyInForce } from './recovery.ts';
import { assertUnits } from './segment-source.ts';
import type { Vault } from './vault.ts';

type Ports = OperationPorts & Pick<Vault, 'blobs'>;

/** Creates a model, or returns the one of that name and class. Another class is `model_exists`: changing a class takes two people. */
export async function createModel(
  actor: AdminActor,
  model: { readonly namespace: Namespace; readonly name: string; readonly class: ClassName },
  vault: Ports,
): Promise<ModelRow> {
  if (model.namespace === SYSTEM) throw new VaultError('request_invalid', `the namespace ${SYSTEM} holds no models`);
  await authorize(actor, 'createModel', model.namespace, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const existing = await vault.stores.catalog.modelByName(tx, model.namespace, model.name);
    if (existing?.class === model.class) return existing;
    const row: ModelRow = { ...model, modelId: newId<ModelId>(tx.now) };
    await vault.stores.catalog.insertModel(tx, row);
    await vault.accessLog.append(tx, {
      type: 'model.created',
      outcome: 'success',
      namespace: model.namespace,
      actor: actorOf(actor),
      request: { requestId: loggable(actor.requestId, 64) },
      object: { modelId: row.modelId, class: row.class, requested: { model: loggable(row.name, 64) } },
      personal: personalOf(actor),
    });
    return row;
  });
}

/** Starts a version under a new DEK. Its id is chosen before the first byte is sealed. */
export async function startVersion(actor: AdminActor, namespace: Namespace, modelName: string, vault: Ports): Promise<VersionRow> {
  await authorize(actor, 'publishVersion', namespace, vault);
  const { model, kek, recovery, now } = await vault.stores.unitOfWork.run(async (tx) => ({
    model: await vault.stores.catalog.modelByName(tx, namespace, modelName),
    kek: await wrappingKek(namespace, tx, vault),
    recovery: await recoveryKeyInForce(tx, vault),
    now: tx.now,
  }));
  if (model === undefined) throw new VaultError('model_unknown', modelName);
  const versionId = newId<VersionId>(now);
  const context = { vaultId: vault.vaultId, namespace, modelId: model.modelId, versionId };
  using dek = await newDek(vault.keys);
  const wrappedDek = encodeWrappedKey(await vault.keys.wrap(kek, dek, dekWrapAad(context, kek)));
  const forRecovery = recovery && { keyId: recovery.keyId, wrapped: await wrapForRecovery(dek, recovery, context) };
  const row: VersionRow = { namespace, modelId: model.modelId, versionId, state: 'uploading', createdAt: now, wrappedDek };
  await vault.stores.unitOfWork.run(async (tx) => {
    // A rotation may have gone by meanwhile: what its pass over the versions did not see must not be wrapped under the old key.
    if (!sameKey(await wrappingKek(namespace, tx, vault), kek)) throw new VaultError('key_rotating');
    if ((await recoveryKeyInForce(tx, vault))?.counter !== recovery?.counter) throw new VaultError('key_rotating');
    await vault.stores.catalog.insertVersion(tx, row);
    if (forRecovery !== undefined) await vault.stores.catalog.putRecoveryWrap(tx, versionId, forRecovery);
    await vault.accessLog.append(tx, { type: 'version.started', ...byPublisher(actor, row), key: kek });
  });
  return row;
}

/** Seals one file while it arrives. Memory is one unit; what was stored when the connection breaks is unreferenced ciphertext. */
export async function putObject(
  actor: AdminActor,
  target: { readonly namespace: Namespace; readonly versionId: VersionId; readonly path: ObjectPath },
  plaintext: AsyncIterable<Uint8Array>,
  vault: Ports,
): Promise<ManifestObject> {
  const { namespace, versionId, path } = target;
  await authorize(actor, 'publishVersion', namespace, vault);
  const row = await uploadingVersion(namespace, versionId, vault);
  const wrapped = decodeWrappedKey(row.wrappedDek);
  await vault.stores.unitOfWork.run((tx) => assertSeals(wrapped.kek, namespace, tx, vault));
  const aad = dekWrapAad({ vaultId: vault.vaultId, namespace, modelId: row.modelId, versionId }, wrapped.kek);
  using lease = await vault.deks.leaseForSealing(versionId, wrapped, aad);
  using key = objectKey(lease.dek, versionId, path);

  const digest = createHash('sha256');
  let size = 0;
  const counted = (async function* () {
    for await (const chunk of plaintext) {
      digest.update(chunk);
      size += chunk.length;
      yield chunk;
    }
  })();
  const { header, units } = await storeUnits(sealStream(counted, { key, aad: floeAad(namespace, versionId, path) }), vault);
  assertUnits(size, units, PRODUCTION_SEGMENT_BYTES);
  const object: ManifestObject = { path, size, sha256: digest.digest('hex') as Digest, header: toBase64(header), units };
  await vault.stores.unitOfWork.run(async (tx) => {
    if (!(await vault.stores.catalog.addObject(tx, versionId, foldPath(path), object))) throw new VaultError('object_exists', path);
    await vault.accessLog.append(tx, { type: 'object.uploaded', ...byPublisher(actor, row, path) });
  });
  return object;
}

/** What records of an upload have in common. */
function byPublisher(actor: AdminActor, { namespace, modelId, versionId }: VersionRow, path?: ObjectPath) {
  return {
    outcome: 'success' as const,
    namespace,
    actor: actorOf(actor),
    request: { requestId: loggable(actor.requestId, 64) },
    object: { modelId, versionId, path },
    personal: personalOf(actor),
  };
}

/** What has arrived of a version that is still being uploaded: for a publisher whose upload broke off. */
export async function uploadedObjects(
  actor: AdminActor,
  target: { readonly namespace: Namespace; readonly versionId: VersionId },
  vault: Ports,
) {
  const { namespace, versionId } = target;
  await authorize(actor, 'publishVersion', namespace, vault);
  const row = await uploadingVersion(namespace, versionId, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const model = await vault.stores.catalog.model(tx, namespace, row.modelId);
    if (model === undefined) throw new VaultError('model_unknown', row.modelId);
    const objects = await vault.stores.catalog.objects(tx, versionId);
    return { versionId, model: model.name, class: model.class, objects: objects.map(({ path, size, sha256 }) => ({ path, size, sha256 })) };
  });
}

/** Cuts a sealed stream (header, then one chunk per segment) into units and stores each under its digest. */
async function storeUnits(sealed: AsyncIterable<Uint8Array>, vault: Ports): Promise<{ header: Uint8Array; units: Unit[] }> {
  let header: Uint8Array | undefined;
  const units: Unit[] = [];
  let chunks: Uint8Array[] = [];
  let segments = 0;
  const flush = async () => {
    const hash = createHash('sha256');
    for (const chunk of chunks) hash.update(chunk);
    const ciphertextSha256 = hash.digest('hex') as BlobName;
    await vault.blobs.put(ciphertextSha256, chunks);
    units.push({ ciphertextSha256, bytes: chunks.reduce((sum, chunk) => sum + chunk.length, 0) });
    chunks = [];
    segments = 0;
  };
  for await (const chunk of sealed) {
    if (segments === SEGMENTS_PER_UNIT) await flush();
    chunks.push(chunk);
    if (header === undefined) header = chunk;
    else segments++;
  }
  await flush();
  if (header === undefined) throw new VaultError('internal', 'nothing was sealed');
  return { header, units };
}

/** What the publisher says the version is. The class comes from here, not from a row that a database writer could lower. */
export interface Announcement {
  readonly class: ClassName;
  readonly objects: readonly AnnouncedObject[];
  readonly attributes: Readonly<Record<string, string>>;
}

export interface AnnouncedObject {
  readonly path: ObjectPath;
  readonly size: number;
  readonly sha256: Digest;
}

/**
 * Closes the upload: what arrived must be exactly what the publisher announces (`digest_mismatch`). Signs the manifest and quarantines the
 * version, then asks for its promotion: executed at once where the class needs one person, waiting for a second where it needs two.
 */
export async function finishVersion(
  actor: AdminActor,
  target: { readonly namespace: Namespace; readonly versionId: VersionId },
  announced: Announcement,
  vault: Ports,
) {
  const { namespace, versionId } = target;
  await authorize(actor, 'publishVersion', namespace, vault);
  const row = await uploadingVersion(namespace, versionId, vault);
  const { objects, model, now } = await vault.stores.unitOfWork.run(async (tx) => ({
    objects: await vault.stores.catalog.objects(tx, versionId),
    model: await vault.stores.catalog.model(tx, namespace, row.modelId),
    now: tx.now,
  }));
  if (model === undefined) throw new VaultError('model_unknown', row.modelId);
  if (model.class !== announced.class) throw new VaultError('model_exists', `the model is ${model.class}`);
  assertAnnounced(objects, announced.objects);
  const manifest: Manifest = {
    v: 1,
    vaultId: vault.vaultId,
    namespace,
    modelId: row.modelId,
    versionId,
    class: announced.class,
    createdAt: now.toISOString(),
    suite: { id: 'FLOE-AES-256-GCM-HKDF-EXPAND-SHA-384', segmentBytes: PRODUCTION_SEGMENT_BYTES, rotationMask: FLOE.rotationMask },
    objects,
    attributes: announced.attributes,
  };
  const document = await signDocument('manifest', manifest, vault.catalogueKey.sign);
  await vault.stores.unitOfWork.run(async (tx) => {
    await vault.stores.documents.put(tx, document);
    // A file that arrived while the manifest was being signed is in no manifest: then nothing is closed.
    const arrived = await vault.stores.catalog.objects(tx, versionId);
    if (arrived.length !== objects.length) throw new VaultError('version_state_conflict', 'files are still arriving');
    if (!(await vault.stores.catalog.quarantine(tx, namespace, versionId, document.digest))) throw new VaultError('version_state_conflict');
    await vault.accessLog.append(tx, {
      type: 'version.published',
      outcome: 'success',
      namespace,
      actor: actorOf(actor),
      request: { requestId: loggable(actor.requestId, 64) },
      object: { modelId: row.modelId, versionId, versionDigest: document.digest, class: announced.class },
      document: { kind: 'manifest', digest: document.digest },
      key: decodeWrappedKey(row.wrappedDek).kek,
      personal: personalOf(actor),
    });
  });
  const promote = {
    kind: 'promote' as const,
    namespace,
    modelId: row.modelId,
    versionId,
    versionDigest: document.digest,
    class: announced.class,
  };
  const approval = await requestApproval(actor, promote, vault);
  return { versionId, versionDigest: document.digest, approvalsNeeded: CLASSES[announced.class].publishApprovals, approval };
}

function assertAnnounced(objects: readonly ManifestObject[], announced: readonly AnnouncedObject[]): void {
  const arrived = new Map(objects.map((object) => [object.path, object]));
  const same = announced.every(({ path, size, sha256 }) => {
    const object = arrived.get(path);
    return object !== undefined && object.size === size && object.sha256 === sha256;
  });
  const paths = new Set(announced.map(({ path }) => path));
  if (!same || paths.size !== arrived.size || announced.length === 0) throw new VaultError('digest_mismatch');
  assertOneTree(objects);
}

/** No file system can hold both `a` and `a/b`, on any machine and in any case. */
function assertOneTree(objects: readonly ManifestObject[]): void {
  const folded = new Set(objects.map(({ path }) => foldPath(path)));
  for (const path of folded) {
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) {
      if (folded.has(path.slice(0, at))) throw new VaultError('path_invalid', `${path} lies below a path that is a file`);
    }
  }
}

async function uploadingVersion(namespace: Namespace, versionId: VersionId, vault: Ports): Promise<VersionRow> {
  const row = await vault.stores.unitOfWork.run((tx) => vault.stores.catalog.version(tx, namespace, versionId));
  if (row === undefined) throw new VaultError('version_unknown', versionId);
  if (row.state !== 'uploading') throw new VaultError('version_state_conflict', `it is ${row.state}`);
  return row;
}

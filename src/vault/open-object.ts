/** The stream stage: every ranged read is rechecked, decrypted segment by segment, counted, and cut when it is stopped. */

import { loggable } from '../audit/record.ts';
import type { ByteRange } from '../blobs/port.ts';
import type { RecordedPermit } from '../domain/access.ts';
import { fromBase64 } from '../domain/bytes.ts';
import { type ErrorCode, isTampering, VaultError } from '../domain/errors.ts';
import { type Refusal, refuse } from '../domain/evidence.ts';
import type { Namespace, RecordId, ReleaseId } from '../domain/ids.ts';
import type { Manifest, ManifestObject } from '../domain/model.ts';
import type { SecretBytes } from '../domain/secret.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { spkiDigestOf } from '../identity/certificates.ts';
import type { ReleaseRow } from '../releases/port.ts';
import { floeAad, objectKey } from '../sealed/object-key.ts';
import { openRange } from '../sealed/range.ts';
import { SegmentOpener } from '../sealed/segment.ts';
import { noticeDecoyRead } from './decoys.ts';
import { claimEgress } from './egress.ts';
import { assertRoomForStrangers, isOfStranger } from './last-room.ts';
import type { StreamMeter } from './meter.ts';
import { noticeRelease } from './outcome.ts';
import { recallPermit } from './record.ts';
import { assertLevel } from './record-level.ts';
import type { StreamGuard } from './revoke.ts';
import { isSmall, scatters } from './scatter.ts';
import { segmentSource } from './segment-source.ts';
import { refusedByStop } from './stops.ts';
import { unwrapDek } from './unwrap.ts';
import type { Vault } from './vault.ts';
import { classInForce, readManifest } from './version.ts';
import { wrapperOfVersion } from './wrapped-under.ts';

type Ports = Pick<
  Vault,
  | 'vaultId'
  | 'node'
  | 'stores'
  | 'blobs'
  | 'catalogueKey'
  | 'kek'
  | 'accessLog'
  | 'logRoom'
  | 'levels'
  | 'recordLevels'
  | 'deks'
  | 'revocations'
  | 'meter'
>;

export interface ObjectRequest {
  readonly requestId: string;
  readonly namespace: Namespace;
  readonly releaseId: ReleaseId;
  readonly path: string;
  /** DER SubjectPublicKeyInfo of the TLS client key of this very connection. */
  readonly spki: Uint8Array;
  readonly remoteAddress: string;
}

export interface OpenedObject {
  readonly refused: false;
  readonly object: ManifestObject;
  /**
   * Plaintext of `range`. A chunk belongs to the reader until it asks for the next. Throws when a segment does not authenticate, when the
   * release is stopped or when that can no longer be told; nothing of a bad segment is yielded. Ending early frees everything.
   * `onCut` is called the moment the release is cut, even while the reader is not asking for more.
   */
  read(range: ByteRange, signal: AbortSignal, onCut: () => void): AsyncGenerator<Uint8Array, void, undefined>;
}

/** Rechecks the release for this request. A refusal is recorded before it is answered. */
export async function openObject(request: ObjectRequest, vault: Ports): Promise<OpenedObject | (Refusal & { recordId: RecordId })> {
  const known = await recheckedRelease(request, vault).catch(async (error) => {
    if (error instanceof VaultError && isTampering(error.code)) {
      await vault.stores.unitOfWork.run((tx) => recordRefusal(request, undefined, error.code, tx, vault));
    }
    throw error;
  });
  if (known.refused) return known;

  const { permit, manifest } = known;
  const object = manifest.objects.find((one) => one.path === request.path);
  if (object === undefined) {
    const recordId = await vault.stores.unitOfWork.run((tx) => recordRefusal(request, permit, 'object_unknown', tx, vault));
    return { ...refuse('object_unknown', ''), recordId };
  }
  return {
    refused: false,
    object,
    read: (range, signal, onCut) => readObject({ request, permit, manifest, object, range, signal, onCut }, vault),
  };
}

/** What of the release may be believed now, or the refusal and its record. */
function recheckedRelease(request: ObjectRequest, vault: Ports) {
  return vault.stores.unitOfWork.run(async (tx) => {
    const row = await vault.stores.releases.release(tx, request.namespace, request.releaseId);
    const refused = await recheck(row, request, tx, vault);
    if (refused !== undefined || row === undefined) {
      const refusal = refused ?? refuse('release_unknown', '');
      return { ...refusal, recordId: await recordRefusal(request, row, refusal.code, tx, vault) };
    }
    const permit = await recallPermit(row, tx, vault);
    const manifest = await permittedManifest(permit, tx, vault);
    await assertLevel(tx, permit, await classInForce(manifest, tx, vault), vault);
    return { refused: false as const, permit, manifest };
  });
}

async function recheck(row: ReleaseRow | undefined, request: ObjectRequest, tx: Tx, vault: Ports): Promise<Refusal | undefined> {
  if (row === undefined) return refuse('release_unknown', '');
  if (row.spkiDigest !== spkiDigestOf(request.spki)) return refuse('release_key_mismatch', 'present the TLS key that attested');
  if (row.outcome === 'cut') return refuse('release_cut', '');
  if (row.outcome !== undefined) return refuse('release_ended', row.outcome);
  if (tx.now >= row.expiresAt) return refuse('release_expired', '');
  return refusedByStop({ ...row, ...(await wrapperOfVersion(row, tx, vault)) }, tx, vault);
}

async function permittedManifest(permit: RecordedPermit, tx: Tx, vault: Ports): Promise<Manifest> {
  const row = await vault.stores.catalog.version(tx, permit.namespace, permit.versionId);
  if (row === undefined || row.versionDigest !== permit.versionDigest) throw new VaultError('manifest_mismatch', permit.versionId);
  return readManifest(row, tx, vault);
}

interface Reading {
  readonly request: ObjectRequest;
  readonly permit: RecordedPermit;
  readonly manifest: Manifest;
  readonly object: ManifestObject;
  readonly range: ByteRange;
  readonly signal: AbortSignal;
  readonly onCut: () => void;
}

async function* readObject(reading: Reading, vault: Ports): AsyncGenerator<Uint8Array, void, undefined> {
  const { permit, object, range } = reading;
  using guard = vault.revocations.guard(permit, reading.signal, reading.onCut);
  using meter = vault.meter.open(permit);
  if (isSmall(range, object)) meter.small();
  let left = await enterStream(reading, meter, vault);
  try {
    for await (const chunk of decrypt(reading, guard, vault)) {
      guard.assertLive();
      if (chunk.length > left) throw await exhausted(reading, vault);
      left -= chunk.length;
      meter.count(chunk.length);
      yield chunk;
    }
    meter.complete(range.start === 0 && range.end === object.size);
  } catch (error) {
    guard.assertLive(); // a cut shows as an aborted read: say what it was
    if (isIntegrityFailure(error)) throw await integrityFailure(reading, error, vault);
    throw error;
  } finally {
    await returnUnsent(permit, left, vault);
  }
}

/**
 * Says in the store that a stream is open, unless the release ended or was stopped since the recheck: what leaves is always counted in its end. How
 * much of the range its budget lets leave.
 */
async function enterStream({ permit, request, object, range }: Reading, meter: StreamMeter, vault: Ports): Promise<number> {
  const scattered = scatters(permit, object, range);
  return vault.stores.unitOfWork.run(async (tx) => {
    const row = await vault.stores.releases.release(tx, permit.namespace, permit.releaseId);
    if (row?.outcome === 'cut') throw new VaultError('release_cut');
    if (row === undefined || row.outcome !== undefined) throw new VaultError('release_ended');
    if (await refusedByStop(permit, tx, vault)) throw new VaultError('release_cut');
    const { namespace, modelId, subjectId, spkiDigest } = permit;
    const actor = { kind: 'requester' as const, subjectId, spkiDigest };
    await noticeDecoyRead(permit.releaseId, { namespace, model: { id: modelId }, actor, requestId: request.requestId }, tx, vault);
    if (scattered) await noticeRelease(row, { signals: ['scattered-reads'] }, tx, vault);
    await meter.enter(tx);
    return claimEgress(permit, range.end - range.start, tx, vault);
  });
}

async function* decrypt(reading: Reading, guard: StreamGuard, vault: Ports): AsyncGenerator<Uint8Array, void, undefined> {
  const { permit, manifest, object, range } = reading;
  const lease = await unwrapDek(permit, vault);
  guard.opensUnder(lease.kek);
  try {
    const opener = openerOf(lease.dek, manifest, object);
    try {
      const source = segmentSource(object, manifest.suite.segmentBytes, vault.blobs);
      yield* openRange({ opener, plaintextBytes: object.size, range, source, signal: guard.signal, reuseBuffer: true });
    } finally {
      opener.dispose();
    }
  } finally {
    lease.release();
  }
}

/** The header is the signed manifest's, never the stored file's. */
function openerOf(dek: SecretBytes, manifest: Manifest, object: ManifestObject): SegmentOpener {
  const { segmentBytes, rotationMask } = manifest.suite;
  using key = objectKey(dek, manifest.versionId, object.path);
  const aad = floeAad(manifest.namespace, manifest.versionId, object.path);
  return new SegmentOpener(fromBase64(object.header), { key, aad, segmentBytes, rotationMask });
}

/** The release took all that was reserved for it: on record, and the stream ends by reset. */
async function exhausted({ request, permit }: Reading, vault: Ports): Promise<VaultError> {
  await vault.stores.unitOfWork.run((tx) => recordRefusal(request, permit, 'egress_exhausted', tx, vault));
  return new VaultError('egress_exhausted', request.path);
}

/** What was claimed for a range and did not leave may be claimed again. When this fails the release can take less, never more. */
async function returnUnsent({ releaseId }: RecordedPermit, left: number, vault: Ports): Promise<void> {
  if (left === 0 || !Number.isFinite(left)) return;
  await vault.stores.unitOfWork.run((tx) => vault.stores.releases.returnEgress(tx, releaseId, left)).catch(() => undefined);
}

/** A range outside the object is the caller's mistake and says nothing about what is stored. */
function isIntegrityFailure(error: unknown): error is VaultError {
  if (!(error instanceof VaultError) || error.code === 'sealed_range') return false;
  return error.code.startsWith('sealed_') || error.code === 'blob_missing';
}

async function integrityFailure(reading: Reading, error: VaultError, vault: Ports): Promise<VaultError> {
  const { request, permit } = reading;
  await vault.stores.unitOfWork.run((tx) => recordRefusal(request, permit, 'object_integrity', tx, vault, error.code));
  return new VaultError('object_integrity', request.path, { cause: error });
}

export function recordRefusal(
  request: ObjectRequest,
  about: ReleaseRow | RecordedPermit | undefined,
  reason: ErrorCode,
  tx: Tx,
  vault: Pick<Vault, 'accessLog' | 'logRoom'>,
  detail: string = request.path,
): Promise<RecordId> {
  if (isOfStranger(reason)) assertRoomForStrangers(vault);
  const integrity = reason === 'object_integrity';
  return vault.accessLog.append(tx, {
    type: integrity ? 'object.integrity' : 'object.denied',
    outcome: integrity ? 'failure' : 'deny',
    reason,
    detail: loggable(integrity ? `${request.path}: ${detail}` : detail, 512),
    namespace: request.namespace,
    actor: { kind: 'requester', spkiDigest: spkiDigestOf(request.spki), ...(about && { subjectId: about.subjectId }) },
    request: { requestId: loggable(request.requestId, 64) },
    release: { releaseId: request.releaseId, ...(about && { begin: about.recordId }) },
    ...(about && { object: { modelId: about.modelId, versionId: about.versionId, versionDigest: about.versionDigest } }),
    personal: { remoteAddress: request.remoteAddress },
  });
}

/** Something signed is not what it was: on record, and thrown on like every other error. */
export async function recordTampering(
  error: unknown,
  request: Omit<ObjectRequest, 'path'>,
  doing: string,
  vault: Pick<Vault, 'stores' | 'accessLog' | 'logRoom'>,
): Promise<never> {
  if (error instanceof VaultError && isTampering(error.code)) {
    const asked = { ...request, path: '' };
    await vault.stores.unitOfWork.run((tx) => recordRefusal(asked, undefined, error.code, tx, vault, doing));
  }
  throw error;
}

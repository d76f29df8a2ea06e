/** The record stage: nothing leaves before the Permit is durable. The only place that makes a RecordedPermit. */

import { knownFrom } from '../attestation/appraise.ts';
import { type Appraised, earOf } from '../attestation/ear.ts';
import { loggable } from '../audit/record.ts';
import { signDocument } from '../documents/document.ts';
import type { AccessRequest, Permit, RecordedPermit } from '../domain/access.ts';
import { sha256Hex } from '../domain/bytes.ts';
import { CLASSES, DEFAULTS } from '../domain/classes.ts';
import { addSeconds } from '../domain/clock.ts';
import { assertEarned, claimStage } from '../domain/earned.ts';
import { VaultError } from '../domain/errors.ts';
import type { Refusal } from '../domain/evidence.ts';
import { factText } from '../domain/facts.ts';
import { type Digest, isId, newId, parseDigest, type RecordId, type ReleaseId } from '../domain/ids.ts';
import { LruMap } from '../domain/lru-map.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { spkiDigestOf } from '../identity/certificates.ts';
import type { ReleaseRow } from '../releases/port.ts';
import { noticeDecoy, noticeRefusedDecoy, refuseUntold } from './decoys.ts';
import { readDocument } from './documents.ts';
import { reserveEgress } from './egress.ts';
import { assertRoomForStrangers } from './last-room.ts';
import { releaseSignals } from './notice.ts';
import { endRelease } from './outcome.ts';
import { refuseOutrun } from './sink-lag.ts';
import { refusedByStop } from './stops.ts';
import type { Vault } from './vault.ts';
import { wrapperOfVersion } from './wrapped-under.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog' | 'logRoom' | 'siteOf'>;

/** A leaf is at most 16 KiB: it names this many determining policies, and the policy set's digest stands for all. */
const NAMED_POLICIES = 64;

/** A refusal, and the record that says so. */
export type Denied = Refusal & { readonly recordId: RecordId };

const mint = claimStage('RecordedPermit');
/** Permits this process has earned or recalled: a document is verified once, a row is compared every time. */
const recalled = new LruMap<Digest, RecordedPermit>(10_000);

/** Who asked, as the record names them. */
export type Recorded = Pick<AccessRequest, 'requestId' | 'namespace' | 'model' | 'version' | 'spki' | 'remoteAddress' | 'tlsExporter'>;

export interface Recording {
  readonly refused: false;
  readonly permit: RecordedPermit;
  /** Of the record that was written now: of a renewal, not the begin. */
  readonly recordId: RecordId;
}

/**
 * Signs the release document, then writes it, the release row and the `release.begin` record in one transaction: durable when this
 * resolves. Refused, on record, when it was stopped since it was decided. Rejects when it could not; then nothing was
 * released. With `renews` the same release gets a later expiry (`release.renewed`).
 */
export async function recordPermit(
  request: Recorded,
  permit: Permit,
  vault: Ports & Pick<Vault, 'logHalted' | 'meter' | 'node'>,
  renews?: ReleaseRow,
): Promise<Recording | Denied> {
  assertEarned('Permit', permit);
  const halted = vault.logHalted();
  if (halted !== undefined) throw new VaultError('log_unavailable', 'the stored log is not the log that was signed', { cause: halted });
  if (vault.logRoom() !== 'ample') throw new VaultError('log_space_low');
  const { manifest, attested } = permit;
  const createdAt = await vault.stores.unitOfWork.run(async (tx) => tx.now);
  const body = {
    v: 1 as const,
    vaultId: vault.vaultId,
    createdAt: createdAt.toISOString(),
    namespace: manifest.namespace,
    releaseId: renews?.releaseId ?? newId<ReleaseId>(createdAt),
    recordId: renews?.recordId ?? newId<RecordId>(createdAt),
    subjectId: attested.subject.subjectId,
    modelId: manifest.modelId,
    versionId: manifest.versionId,
    versionDigest: permit.versionDigest,
    spkiDigest: attested.spkiDigest,
    expiresAt: addSeconds(createdAt, CLASSES[manifest.class].releaseSeconds).toISOString(),
  };
  const document = await signDocument('release', body, vault.catalogueKey.sign);
  const result = resultOf(request, { pieces: attested.pieces }, attested, createdAt, vault);
  const row: ReleaseRow = { ...body, documentDigest: document.digest, createdAt, expiresAt: new Date(body.expiresAt) };
  const writing = vault.stores.unitOfWork.run(async (tx) => {
    const unknown = await refuseOutrun(tx, vault);
    const refused = unknown ?? (await refusedByStop({ ...body, ...(await wrapperOfVersion(body, tx, vault)) }, tx, vault));
    const untold = refused ?? (await refuseUntold(body.namespace, body.modelId, tx, vault));
    const over = untold ?? (await reserveEgress(permit, row, renews !== undefined, tx, vault));
    if (over !== undefined) return over;
    await vault.stores.documents.put(tx, document);
    await vault.stores.attestation.putResult(tx, result.digest, result.bytes);
    await vault.stores.attestation.noteMatched(tx, body.namespace, attested.matched);
    if (renews === undefined) await vault.stores.releases.insertRelease(tx, row);
    else if (!(await vault.stores.releases.renewRelease(tx, row.releaseId, renews.documentDigest, row)))
      throw new VaultError('release_ended');
    const actor = { kind: 'requester' as const, subjectId: body.subjectId, spkiDigest: body.spkiDigest };
    const touch = { namespace: body.namespace, model: { id: body.modelId }, actor, requestId: request.requestId };
    await noticeDecoy({ ...touch, how: 'released', permitted: true }, tx, vault);
    const signals = await releaseSignals(attested, request.remoteAddress, manifest.attributes, tx, vault);
    if (signals.length > 0) {
      await vault.accessLog.append(tx, {
        ...{ type: 'release.noticed', outcome: 'success', namespace: body.namespace, actor, signals },
        object: { modelId: body.modelId, versionId: body.versionId },
        release: { releaseId: body.releaseId, begin: body.recordId, subjectId: body.subjectId },
      });
    }
    return vault.accessLog.append(tx, {
      type: renews === undefined ? 'release.begin' : 'release.renewed',
      outcome: 'permit',
      ...(renews === undefined && { recordId: body.recordId }),
      namespace: body.namespace,
      actor,
      request: { requestId: loggable(request.requestId, 64) },
      object: {
        modelId: body.modelId,
        versionId: body.versionId,
        versionDigest: body.versionDigest,
        class: manifest.class,
        ...(isId(request.version) ? {} : { requested: { model: loggable(request.model, 64), version: loggable(request.version, 64) } }),
      },
      decision: {
        policySetDigest: permit.policySetDigest,
        determining: permit.determining.slice(0, NAMED_POLICIES).map((id) => loggable(id, 64)),
      },
      attestation: {
        kinds: attested.kinds,
        tier: attested.tier,
        fresh: attested.fresh,
        keyBound: attested.keyBound,
        hardware: attested.hardware,
        tee: attested.tee,
        evidenceDigest: attested.evidenceDigest,
        referenceValuesDigest: attested.referenceValuesDigest,
        matched: attested.matched.map((id) => loggable(id, 64)),
        facts: Object.fromEntries(Object.entries(attested.facts).map(([name, value]) => [name, loggable(factText(value), 128)])),
      },
      resultDigest: result.digest,
      release: {
        releaseId: body.releaseId,
        expiresAt: row.expiresAt,
        ...(renews && { begin: body.recordId }),
        ...(vault.siteOf && { site: loggable(vault.siteOf(request.remoteAddress).name, 64) }),
      },
      document: { kind: 'release', digest: document.digest },
      personal: { remoteAddress: request.remoteAddress },
    });
  });
  const written = await durableInTime(writing, () => endRelease(body.namespace, body.releaseId, 'aborted', vault), renews);
  if (typeof written !== 'string') return recordDenial(request, { ...written, ...knownFrom(attested) }, vault);
  return { refused: false, permit: earn(row), recordId: written };
}

/**
 * `log_unavailable` when it is not durable in time: the requester is told so, and what becomes durable after is ended at once, with no byte sent. A
 * renewal only moves an expiry; that it moved is on record.
 */
async function durableInTime<T>(writing: Promise<T>, endLate: () => Promise<void>, renews: ReleaseRow | undefined): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    if (renews === undefined) writing.then(endLate).catch(() => undefined); // when that fails too, it ends by itself, at its expiry
    reject(new VaultError('log_unavailable', `no durable record in ${DEFAULTS.logDurableWaitMs} ms`));
  }, DEFAULTS.logDurableWaitMs);
  return Promise.race([writing, late]).finally(() => clearTimeout(timer));
}

/** The permit behind a release row, on whichever node: the signed document must say everything the row says. */
export async function recallPermit(row: ReleaseRow, tx: Tx, vault: Ports): Promise<RecordedPermit> {
  const known = recalled.get(row.documentDigest);
  const said = known ?? (await readDocument('release', row.documentDigest, tx, vault));
  const agrees =
    said.releaseId === row.releaseId &&
    said.recordId === row.recordId &&
    said.namespace === row.namespace &&
    said.subjectId === row.subjectId &&
    said.modelId === row.modelId &&
    said.versionId === row.versionId &&
    said.versionDigest === row.versionDigest &&
    said.spkiDigest === row.spkiDigest &&
    new Date(said.expiresAt).getTime() === row.expiresAt.getTime();
  if (!agrees) throw new VaultError('document_invalid', `the row of release ${row.releaseId} is not what was signed`);
  return known ?? earn(row);
}

/** Writes the refusal to the access log. Rejects when that is impossible: an unrecorded refusal is no answer either. */
export async function recordDenial(request: Recorded, refusal: Refusal, vault: Ports): Promise<Denied> {
  const { subject, evidenceDigest, appraised: pieces = [] } = refusal;
  if (subject === undefined) assertRoomForStrangers(vault);
  const recordId = await vault.stores.unitOfWork.run(async (tx) => {
    const result = evidenceDigest && resultOf(request, { pieces, refusal }, refusal, tx.now, vault);
    if (result !== undefined) await vault.stores.attestation.putResult(tx, result.digest, result.bytes);
    const actor = { kind: 'requester' as const, spkiDigest: spkiDigestOf(request.spki), ...(subject && { subjectId: subject.subjectId }) };
    const touch = { namespace: request.namespace, model: { name: request.model }, actor, requestId: request.requestId };
    await noticeRefusedDecoy(touch, tx, vault);
    return vault.accessLog.append(tx, {
      type: 'release.denied',
      outcome: 'deny',
      reason: refusal.code,
      detail: loggable(`${request.model} ${request.version}: ${refusal.detail}`, 512),
      namespace: request.namespace,
      actor,
      request: { requestId: loggable(request.requestId, 64) },
      object: { requested: { model: loggable(request.model, 64), version: loggable(request.version, 64) } },
      ...(evidenceDigest && { evidenceDigest }),
      resultDigest: result?.digest,
      personal: { remoteAddress: request.remoteAddress },
    });
  });
  return { ...refusal, recordId };
}

/** The EAR of an appraisal, and the digest by which the record names it. */
function resultOf(
  { tlsExporter }: Recorded,
  appraised: Appraised,
  known: Pick<Refusal, 'evidenceDigest' | 'appraisalPolicyId'>,
  at: Date,
  { vaultId }: Ports,
): { readonly digest: Digest; readonly bytes: Uint8Array } {
  const { evidenceDigest, appraisalPolicyId = 'none' } = known;
  const bytes = earOf(appraised, { vaultId, at, appraisalPolicyId, evidenceDigest, tlsExporter });
  return { digest: parseDigest(sha256Hex(bytes)), bytes };
}

function earn(row: ReleaseRow): RecordedPermit {
  const { releaseId, recordId, namespace, subjectId, modelId, versionId, versionDigest, spkiDigest, expiresAt } = row;
  const permit = mint({ releaseId, recordId, namespace, subjectId, modelId, versionId, versionDigest, spkiDigest, expiresAt });
  recalled.set(row.documentDigest, permit);
  return permit;
}

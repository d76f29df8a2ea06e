/** The record stage: nothing leaves before the Permit is durable. The only place that makes a RecordedPermit. */

import { loggable } from '../audit/record.ts';
import { signDocument } from '../documents/document.ts';
import type { AccessRequest, Permit, RecordedPermit } from '../domain/access.ts';
import { CLASSES } from '../domain/classes.ts';
import { addSeconds } from '../domain/clock.ts';
import { assertEarned, claimStage } from '../domain/earned.ts';
import { VaultError } from '../domain/errors.ts';
import type { Refusal } from '../domain/evidence.ts';
import { newId, type RecordId, type ReleaseId } from '../domain/ids.ts';
import { LruMap } from '../domain/lru-map.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { spkiDigestOf } from '../identity/certificates.ts';
import type { ReleaseRow } from '../releases/port.ts';
import { readDocument } from './documents.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>;

/** A leaf is at most 16 KiB: it names this many determining policies, and the policy set's digest stands for all. */
const NAMED_POLICIES = 64;

/** A refusal, and the record that says so. */
export type Denied = Refusal & { readonly recordId: RecordId };

const mint = claimStage('RecordedPermit');
/** Permits this process has earned or recalled: a document is verified once, a row is compared every time. */
const recalled = new LruMap<ReleaseId, RecordedPermit>(10_000);

/**
 * Signs the release document, then writes it, the release row and the `release.begin` record in one transaction: durable when this
 * resolves. Rejects when it could not; then nothing was released.
 */
export async function recordPermit(
  request: AccessRequest,
  permit: Permit,
  vault: Ports & Pick<Vault, 'logHalted'>,
): Promise<RecordedPermit> {
  assertEarned('Permit', permit);
  const halted = vault.logHalted();
  if (halted !== undefined) throw new VaultError('log_unavailable', 'the stored log is not the log that was signed', { cause: halted });
  const { manifest, attested } = permit;
  const createdAt = await vault.stores.unitOfWork.run(async (tx) => tx.now);
  const body = {
    v: 1 as const,
    vaultId: vault.vaultId,
    createdAt: createdAt.toISOString(),
    namespace: manifest.namespace,
    releaseId: newId<ReleaseId>(createdAt),
    recordId: newId<RecordId>(createdAt),
    subjectId: attested.subject.subjectId,
    modelId: manifest.modelId,
    versionId: manifest.versionId,
    versionDigest: permit.versionDigest,
    spkiDigest: attested.spkiDigest,
    expiresAt: addSeconds(createdAt, CLASSES[manifest.class].releaseSeconds).toISOString(),
  };
  const document = await signDocument('release', body, vault.catalogueKey.sign);
  const row: ReleaseRow = { ...body, documentDigest: document.digest, createdAt, expiresAt: new Date(body.expiresAt) };
  await vault.stores.unitOfWork.run(async (tx) => {
    await vault.stores.documents.put(tx, document);
    await vault.stores.releases.insertRelease(tx, row);
    await vault.accessLog.append(tx, {
      type: 'release.begin',
      outcome: 'permit',
      recordId: body.recordId,
      namespace: body.namespace,
      actor: { kind: 'requester', subjectId: body.subjectId, spkiDigest: body.spkiDigest },
      request: { requestId: loggable(request.requestId, 64) },
      object: { modelId: body.modelId, versionId: body.versionId, versionDigest: body.versionDigest, class: manifest.class },
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
        evidenceDigest: attested.evidenceDigest,
        referenceValuesDigest: attested.referenceValuesDigest,
        matched: attested.matched.map((id) => loggable(id, 64)),
        facts: Object.fromEntries(Object.entries(attested.facts).map(([name, value]) => [name, loggable(value, 128)])),
      },
      release: { releaseId: body.releaseId, expiresAt: row.expiresAt },
      document: { kind: 'release', digest: document.digest },
      personal: { remoteAddress: request.remoteAddress },
    });
  });
  return earn(row);
}

/** The permit behind a release row, on whichever node: the signed document must say everything the row says. */
export async function recallPermit(row: ReleaseRow, tx: Tx, vault: Ports): Promise<RecordedPermit> {
  const known = recalled.get(row.releaseId);
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
export async function recordDenial(request: AccessRequest, refusal: Refusal, vault: Ports): Promise<Denied> {
  const { subject, evidenceDigest } = refusal;
  const recordId = await vault.stores.unitOfWork.run((tx) =>
    vault.accessLog.append(tx, {
      type: 'release.denied',
      outcome: 'deny',
      reason: refusal.code,
      detail: loggable(`${request.model} ${request.version}: ${refusal.detail}`, 512),
      namespace: request.namespace,
      actor: { kind: 'requester', spkiDigest: spkiDigestOf(request.spki), ...(subject && { subjectId: subject.subjectId }) },
      request: { requestId: loggable(request.requestId, 64) },
      ...(evidenceDigest && { evidenceDigest }),
      personal: { remoteAddress: request.remoteAddress },
    }),
  );
  return { ...refusal, recordId };
}

function earn(row: ReleaseRow): RecordedPermit {
  const { releaseId, recordId, namespace, subjectId, modelId, versionId, versionDigest, spkiDigest, expiresAt } = row;
  const permit = mint({ releaseId, recordId, namespace, subjectId, modelId, versionId, versionDigest, spkiDigest, expiresAt });
  recalled.set(releaseId, permit);
  return permit;
}

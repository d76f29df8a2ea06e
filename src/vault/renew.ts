/** A release gets a later expiry for new evidence: appraised and decided as the first time, for the same version, key and requester. */
import { knownFrom } from '../attestation/appraise.ts';
import { loggable } from '../audit/record.ts';
import type { AccessRequest, RecordedPermit } from '../domain/access.ts';
import { codeOf } from '../domain/errors.ts';
import { isRefusal, type Refusal, refuse } from '../domain/evidence.ts';
import type { ReleaseId } from '../domain/ids.ts';
import { spkiDigestOf } from '../identity/certificates.ts';
import type { ReleaseRow } from '../releases/port.ts';
import { type Denied, recallPermit, recordDenial, recordPermit } from './record.ts';
import { awaitLevel } from './record-level.ts';
import { appraiseRequest, decideRequest, refuseTampered } from './release.ts';

type Ports = Parameters<typeof decideRequest>[2];

export type RenewRequest = Pick<
  AccessRequest,
  'requestId' | 'namespace' | 'challengeId' | 'evidence' | 'spki' | 'remoteAddress' | 'tlsExporter'
> & {
  readonly releaseId: ReleaseId;
};

export interface Renewed {
  readonly refused: false;
  readonly permit: RecordedPermit;
}

/**
 * Resolves with the permit and its new expiry, or the recorded refusal; a refused renewal leaves the release as it was. Reads under way end
 * at the expiry they began under; the rest is asked for by range.
 */
export async function renew(request: RenewRequest, vault: Ports): Promise<Renewed | Denied> {
  const known = await knownRelease(request, vault).catch(refuseTampered);
  const asked = { ...request, model: '', version: request.releaseId };
  if (isRefusal(known)) return recordDenial(asked, known, vault);

  const attested = await appraiseRequest(request, vault).catch(refuseTampered);
  if (isRefusal(attested)) return recordDenial(asked, attested, vault);
  const who = knownFrom(attested);
  if (attested.subject.subjectId !== known.row.subjectId) {
    return recordDenial(asked, refuse('release_key_mismatch', 'the evidence is of another requester', who), vault);
  }

  const same = { ...asked, model: known.model, version: known.row.versionId, delivery: 'stream' as const };
  const decided = await decideRequest(same, attested, vault, known.row.releaseId).catch(refuseTampered);
  if (isRefusal(decided)) return recordDenial(same, decided, vault);
  const recorded = await recordPermit(same, decided.permit, vault, known.row);
  if (isRefusal(recorded)) return recorded;
  await awaitLevel(recorded.recordId, decided.permit.manifest.class, vault).catch((error) => takeBack(error, known.row, request, vault));
  return { refused: false, permit: recorded.permit };
}

/** The renewal is on record, and its record did not come as far as the class demands: the expiry is again what it was, which is on record too. */
async function takeBack(error: unknown, before: ReleaseRow, request: RenewRequest, vault: Ports): Promise<never> {
  const { namespace, releaseId, documentDigest, expiresAt, recordId, subjectId, spkiDigest } = before;
  await vault.stores.unitOfWork.run(async (tx) => {
    const now = await vault.stores.releases.release(tx, namespace, releaseId);
    if (now === undefined || now.outcome !== undefined) return; // it ended meanwhile
    await vault.stores.releases.renewRelease(tx, releaseId, now.documentDigest, { documentDigest, expiresAt });
    await vault.accessLog.append(tx, {
      type: 'release.denied',
      outcome: 'deny',
      reason: codeOf(error),
      detail: loggable('the renewal was taken back', 64),
      namespace,
      actor: { kind: 'requester', subjectId, spkiDigest },
      request: { requestId: loggable(request.requestId, 64) },
      release: { releaseId, begin: recordId, expiresAt },
      personal: { remoteAddress: request.remoteAddress },
    });
  });
  throw error;
}

/** What may be renewed: a release of this TLS key that has neither ended nor expired, and whose row says what was signed. */
function knownRelease(request: RenewRequest, vault: Ports): Promise<{ readonly row: ReleaseRow; readonly model: string } | Refusal> {
  return vault.stores.unitOfWork.run(async (tx) => {
    const row = await vault.stores.releases.release(tx, request.namespace, request.releaseId);
    if (row === undefined) return refuse('release_unknown', '');
    if (row.spkiDigest !== spkiDigestOf(request.spki)) return refuse('release_key_mismatch', 'present the TLS key that attested');
    if (row.outcome !== undefined) return refuse(row.outcome === 'cut' ? 'release_cut' : 'release_ended', row.outcome);
    if (tx.now >= row.expiresAt) return refuse('release_expired', '');
    await recallPermit(row, tx, vault);
    const model = await vault.stores.catalog.model(tx, row.namespace, row.modelId);
    return model === undefined ? refuse('model_unknown', row.modelId) : { row, model: model.name };
  });
}

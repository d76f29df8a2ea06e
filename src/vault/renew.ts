/** A release gets a later expiry for new evidence: appraised and decided as the first time, for the same version, key and requester. */
import { knownFrom } from '../attestation/appraise.ts';
import type { AccessRequest, RecordedPermit } from '../domain/access.ts';
import { isRefusal, type Refusal, refuse } from '../domain/evidence.ts';
import type { ReleaseId } from '../domain/ids.ts';
import { spkiDigestOf } from '../identity/certificates.ts';
import type { ReleaseRow } from '../releases/port.ts';
import { type Denied, recallPermit, recordDenial, recordPermit } from './record.ts';
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
  const decided = await decideRequest(same, attested, vault).catch(refuseTampered);
  if (isRefusal(decided)) return recordDenial(same, decided, vault);
  const permit = await recordPermit(same, decided.permit, vault, known.row);
  return isRefusal(permit) ? permit : { refused: false, permit };
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

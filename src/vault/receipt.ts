/** The receipt of a release, for whoever it was released to: proof of the record, for years after this service is gone. */
import { loggable } from '../audit/record.ts';
import type { AccessRequest } from '../domain/access.ts';
import { type Refusal, refuse } from '../domain/evidence.ts';
import type { ReleaseId } from '../domain/ids.ts';
import { spkiDigestOf } from '../identity/certificates.ts';
import { recordRefusal, recordTampering } from './open-object.ts';
import { recallPermit } from './record.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog' | 'logRoom' | 'levels'>;

const RECEIPT = 'receipt of the release';

export type ReceiptRequest = Pick<AccessRequest, 'requestId' | 'namespace' | 'spki' | 'remoteAddress'> & { readonly releaseId: ReleaseId };

/**
 * Also after the release ended or was cut: it says what happened, and grants nothing. `receipt_pending` until a signed checkpoint covers the
 * record, normally within `logCheckpointMs`. Each receipt given out is on record as `log.read`.
 */
export function readReceipt(request: ReceiptRequest, vault: Ports): Promise<Uint8Array | Refusal> {
  return provenRelease(request, vault).catch((error) => recordTampering(error, request, RECEIPT, vault));
}

function provenRelease(request: ReceiptRequest, vault: Ports): Promise<Uint8Array | Refusal> {
  return vault.stores.unitOfWork.run(async (tx) => {
    const row = await vault.stores.releases.release(tx, request.namespace, request.releaseId);
    if (row?.spkiDigest !== spkiDigestOf(request.spki)) {
      const refusal = refuse(row === undefined ? 'release_unknown' : 'release_key_mismatch', '');
      await recordRefusal({ ...request, path: '' }, row, refusal.code, tx, vault, RECEIPT);
      return refusal;
    }
    const { recordId, subjectId, spkiDigest } = await recallPermit(row, tx, vault);
    const receipt = await vault.levels.receipt(tx, recordId);
    // A record is durable before its release is: one that is not there any more was pruned.
    if (receipt === undefined && (await vault.stores.log.leafByRecord(tx, recordId)) === undefined) return refuse('record_pruned', '');
    if (receipt === undefined) return refuse('receipt_pending', '');
    await vault.accessLog.append(tx, {
      type: 'log.read',
      outcome: 'success',
      detail: loggable('receipt', 128),
      namespace: request.namespace,
      actor: { kind: 'requester', subjectId, spkiDigest },
      request: { requestId: loggable(request.requestId, 64) },
      release: { releaseId: request.releaseId, begin: recordId },
      personal: { remoteAddress: request.remoteAddress },
    });
    return receipt;
  });
}

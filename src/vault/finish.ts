import type { ReleaseOutcome } from '../domain/access.ts';
import { type Refusal, refuse } from '../domain/evidence.ts';
import { spkiDigestOf } from '../identity/certificates.ts';
import { type ObjectRequest, recordRefusal, recordTampering } from './open-object.ts';
import { endRelease } from './outcome.ts';
import { recallPermit } from './record.ts';
import type { Vault } from './vault.ts';
import { readManifest } from './version.ts';

type Ports = Pick<Vault, 'vaultId' | 'node' | 'stores' | 'catalogueKey' | 'accessLog' | 'logRoom' | 'meter'>;

/** The requester is done: `completed` when at least the whole version left, else `aborted`. Ending twice is no change. */
export async function finishRelease(request: Omit<ObjectRequest, 'path'>, vault: Ports): Promise<Refusal | undefined> {
  await vault.meter.flush();
  const outcome = await outcomeOf(request, vault).catch((error) => recordTampering(error, request, 'end of the release', vault));
  if (typeof outcome !== 'string') return outcome;
  await endRelease(request.namespace, request.releaseId, outcome, vault);
  return undefined;
}

function outcomeOf(request: Omit<ObjectRequest, 'path'>, vault: Ports): Promise<ReleaseOutcome | Refusal> {
  return vault.stores.unitOfWork.run(async (tx) => {
    const row = await vault.stores.releases.release(tx, request.namespace, request.releaseId);
    if (row?.spkiDigest !== spkiDigestOf(request.spki)) {
      const refusal = refuse(row === undefined ? 'release_unknown' : 'release_key_mismatch', '');
      await recordRefusal({ ...request, path: '' }, row, refusal.code, tx, vault, 'end of the release');
      return refusal;
    }
    const permit = await recallPermit(row, tx, vault);
    const version = await vault.stores.catalog.version(tx, permit.namespace, permit.versionId);
    const manifest = version && (await readManifest(version, tx, vault));
    const progress = await vault.stores.releases.progress(tx, request.releaseId);
    const sent = progress.reduce((sum, node) => sum + node.bytes, 0);
    const whole = manifest?.objects.reduce((sum, object) => sum + object.size, 0) ?? Number.POSITIVE_INFINITY;
    return sent >= whole ? 'completed' : 'aborted';
  });
}

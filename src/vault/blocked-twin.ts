/** The same TPM under another name: a TPM has one endorsement key and makes as many attestation keys as it is asked for. */
import type { EnrolledTpm2 } from '../domain/evidence.ts';
import type { SubjectId } from '../domain/ids.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { readDocument } from './documents.ts';
import { knownStops } from './stops.ts';
import type { Vault } from './vault.ts';

/** The name under which the TPM of `attester` is blocked in its namespace, or undefined. */
export async function blockedTwin(
  { namespace, ekCertificateDigest }: Pick<EnrolledTpm2, 'namespace' | 'ekCertificateDigest'>,
  tx: Tx,
  vault: Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey'>,
): Promise<string | undefined> {
  const stops = (await knownStops(tx, vault)).filter((stop) => stop.scope === 'requester' && stop.namespace === namespace && !stop.lifted);
  for (const { target } of stops) {
    const row = target && (await vault.stores.identity.subject(tx, namespace, target as SubjectId)); // of this scope the target is a requester
    if (!row) continue;
    const signed = await readDocument('attester', row.documentDigest, tx, vault);
    if ('ekCertificateDigest' in signed && signed.ekCertificateDigest === ekCertificateDigest) return signed.name;
  }
  return undefined;
}

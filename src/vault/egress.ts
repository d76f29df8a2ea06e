/**
 * Egress budgets: what a requester already took of a model, for policies to judge (`context.egress`), and what a release may still take. Reserved in
 * the transaction that records the permit, where the policies are asked once more, so that of two releases at once the second sees the first; claimed
 * range by range before it is sent; settled when the release ends. All of it in the database: a restart forgets nothing.
 */
import type { Permit, RecordedPermit } from '../domain/access.ts';
import { sha256Hex, utf8 } from '../domain/bytes.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { addSeconds } from '../domain/clock.ts';
import { type AttestationResult, isRefusal, type Refusal } from '../domain/evidence.ts';
import { factText } from '../domain/facts.ts';
import { type Digest, parseDigest, type ReleaseId } from '../domain/ids.ts';
import type { Manifest } from '../domain/model.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import type { EgressAttributes } from '../policy/attributes.ts';
import { decideRelease } from '../policy/decide.ts';
import { loadPolicySet } from '../policy/policy-set.ts';
import type { ReleaseRow } from '../releases/port.ts';
import { inForce } from './documents.ts';
import type { Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey'>;

const DAY_SECONDS = 86_400;

export function versionBytes({ objects }: Pick<Manifest, 'objects'>): number {
  return objects.reduce((sum, { size }) => sum + size, 0);
}

/** What is known of earlier releases of the model to the requester. `except`: the release that is being renewed. */
export async function egressOf(
  attested: AttestationResult,
  manifest: Pick<Manifest, 'namespace' | 'modelId' | 'objects'>,
  tx: Tx,
  { stores }: Ports,
  except?: ReleaseId,
): Promise<EgressAttributes> {
  const { namespace, modelId } = manifest;
  const of = { namespace, subjectId: attested.subject.subjectId, modelId, machine: machineOf(attested) };
  const [day, week] = [addSeconds(tx.now, -DAY_SECONDS), addSeconds(tx.now, -7 * DAY_SECONDS)];
  const lastDay = await stores.releases.egress(tx, of, day, except);
  const lastWeek = await stores.releases.egress(tx, of, week, except);
  return {
    versionBytes: versionBytes(manifest),
    bytesLast24h: lastDay.bytes,
    bytesLast7d: lastWeek.bytes,
    replicasLast24h: lastDay.replicas,
    machinesLast24h: lastDay.machines,
    machineCounted: lastDay.machineCounted,
  };
}

/** Whether a release is held to what it reserved: where some policy in force asks for budgets. */
function speaksOfEgress(policies: Readonly<Record<string, string>>): boolean {
  return Object.values(policies).some((text) => /\begress\b/.test(text));
}

/** In the transaction that records the permit. The refusal of the policies, when what others took since the decision changes their mind. */
export async function reserveEgress(
  permit: Permit,
  row: Pick<ReleaseRow, 'releaseId' | 'namespace' | 'subjectId' | 'modelId'>,
  renews: boolean,
  tx: Tx,
  vault: Ports,
): Promise<Refusal | undefined> {
  const { attested, manifest, versionDigest, delivery } = permit;
  const policies = await inForce('policy-set', manifest.namespace, tx, vault);
  const bound = policies !== undefined && speaksOfEgress(policies.body.policies);
  if (bound) {
    const egress = await egressOf(attested, manifest, tx, vault, row.releaseId);
    const policySet = loadPolicySet(policies.body, policies.digest);
    const again = decideRelease({ attested, manifest, versionDigest, delivery, policySet, now: tx.now, egress });
    if (isRefusal(again)) return again;
  }
  if (renews) return undefined; // it keeps what it reserved
  const bytes = versionBytes(manifest);
  const reserved = bytes + Math.ceil(bytes / DEFAULTS.egressSlackPart) + DEFAULTS.egressSlackBytes;
  await vault.stores.releases.insertEgress(tx, {
    ...{ releaseId: row.releaseId, namespace: row.namespace, subjectId: row.subjectId, modelId: row.modelId },
    machine: machineOf(attested),
    versionBytes: bytes,
    ...(bound && { reservedBytes: reserved }),
  });
  return undefined;
}

/** Facts that tell one machine from another; of evidence without any, the requester, and of tokens and workload identities, the TLS key. */
const MACHINE_FACTS: ReadonlyArray<readonly [kind: string, fact: string]> = [
  ['sev-snp', 'chipId'],
  ['tdx', 'ppid'],
  ['nitro', 'moduleId'],
];

export function machineOf({ pieces, subject, kinds, spkiDigest }: AttestationResult): Digest {
  for (const [kind, fact] of MACHINE_FACTS) {
    const value = pieces.find((piece) => piece.kind === kind)?.facts[fact];
    if (value !== undefined) return parseDigest(sha256Hex(utf8(`${kind} ${fact} ${factText(value)}`)));
  }
  return kinds.includes('tpm2') ? parseDigest(sha256Hex(utf8(`subject ${subject.subjectId}`))) : spkiDigest;
}

/** How many of the bytes of a range may be sent, now claimed; Infinity for a release that is held to nothing. */
export async function claimEgress(
  { releaseId }: RecordedPermit,
  bytes: number,
  tx: Tx,
  { stores }: Pick<Vault, 'stores'>,
): Promise<number> {
  return (await stores.releases.claimEgress(tx, releaseId, bytes)) ?? Number.POSITIVE_INFINITY;
}

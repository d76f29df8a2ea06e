/** How a release ends: by its requester, by expiry, by a cut; recorded once, with the bytes that really left. */
import type { Signal } from '../audit/record.ts';
import type { ReleaseOutcome } from '../domain/access.ts';
import { DEFAULTS } from '../domain/classes.ts';
import { addSeconds } from '../domain/clock.ts';
import { VaultError } from '../domain/errors.ts';
import type { Namespace, ReleaseId } from '../domain/ids.ts';
import { type KnownStop, stopOf } from '../domain/stop.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { sessionsOver } from '../identity/session-token.ts';
import type { ProgressRow, ReleaseRow } from '../releases/port.ts';
import { endingStops, knownStops } from './stops.ts';
import type { Vault } from './vault.ts';
import { wrapperOfVersion } from './wrapped-under.ts';

type Ports = Pick<Vault, 'stores' | 'accessLog' | 'meter' | 'node'>;
type SweepPorts = Ports & Pick<Vault, 'vaultId' | 'catalogueKey'>;

/** Small ranges are told in lots. */
const TOLD_RANGES = 250;
/** A release that expired this long ago and still streams. */
const OVERDUE_SECONDS = 60;
/** Bounds one round's transaction. Releases that still stream are among them, so it is far above what one vault streams at once. */
const ENDED_PER_ROUND = 2_000;

/**
 * Ends a release and records it. Ending one that has ended is no change. `release_busy`, and no change, while a living node still has a
 * stream of it open: the record of the end states every byte that left.
 */
export async function endRelease(namespace: Namespace, releaseId: ReleaseId, outcome: ReleaseOutcome, vault: Ports): Promise<void> {
  await vault.meter.flush();
  await vault.stores.unitOfWork.run(async (tx) => {
    const row = await vault.stores.releases.release(tx, namespace, releaseId);
    if (row === undefined) return;
    const progress = await vault.stores.releases.progress(tx, releaseId);
    if ((await sendingState(progress, tx, vault)) === 'live') throw new VaultError('release_busy');
    await end(row, outcome, progress, tx, vault);
  });
}

/** Ends every release that expired or was stopped, once no live node is still sending for it. */
export async function endOverdueReleases(vault: SweepPorts): Promise<void> {
  await vault.meter.flush();
  await vault.stores.unitOfWork.run(async (tx) => {
    const stops = await withStoppedKeys(endingStops(await knownStops(tx, vault), tx.now), tx, vault);
    for (const row of await vault.stores.releases.endable(tx, stops, ENDED_PER_ROUND)) {
      const progress = await vault.stores.releases.progress(tx, row.releaseId);
      const state = await sendingState(progress, tx, vault);
      if (state !== 'live') await end(row, state === 'dead' ? 'unknown' : stopOf(stops, row) ? 'cut' : 'expired', progress, tx, vault);
    }
  });
}

/** What a suspended key stops, as stops of the versions that are wrapped under it: rows of releases do not say what opens them. */
async function withStoppedKeys(stops: readonly KnownStop[], tx: Tx, vault: Ports): Promise<readonly KnownStop[]> {
  const ofKeys = stops.filter(({ scope }) => scope === 'key');
  if (ofKeys.length === 0) return stops;
  const all = stops.filter(({ scope }) => scope !== 'key');
  for (const version of await vault.stores.releases.openVersions(tx)) {
    const { kek } = await wrapperOfVersion(version, tx, vault);
    const { namespace, versionId: target } = version;
    const covering = ofKeys.filter((stop) => stop.target === kek);
    all.push(...covering.map((stop) => ({ ...stop, scope: 'version' as const, namespace, target })));
  }
  return all;
}

/** The node's round: says that it lives, writes its figures, ends what is over, forgets old challenges and failures. */
export async function keepHouse(vault: SweepPorts): Promise<void> {
  await vault.stores.unitOfWork.run(async (tx) => {
    await vault.stores.releases.renewNode(tx, vault.node, addSeconds(tx.now, DEFAULTS.nodeLeaseSeconds));
    await vault.stores.releases.purgeChallenges(tx, addSeconds(tx.now, -10 * DEFAULTS.challengeSeconds));
    await vault.stores.releases.purgeEgress(tx, addSeconds(tx.now, -8 * 86_400));
    await vault.stores.releases.purgeTokenIds(tx, addSeconds(tx.now, -10 * DEFAULTS.challengeSeconds));
    await vault.stores.identity.purgeLoginFailures(tx, addSeconds(tx.now, -DEFAULTS.loginFailureWindowSeconds));
    await vault.stores.identity.purgeSessions(tx, sessionsOver(tx.now));
  });
  await endOverdueReleases(vault);
  await noticePatterns(vault); // of what is left: a vault that was off ends what expired meanwhile, and finds nothing overdue
}

/** What a release does while it lasts, for whoever watches. */
async function noticePatterns(vault: SweepPorts): Promise<void> {
  await vault.stores.unitOfWork.run(async (tx) => {
    for (const { release, smallRanges } of await vault.stores.releases.takeSmallRanges(tx, TOLD_RANGES))
      await noticeRelease(release, { smallRanges }, tx, vault);
    for (const release of await vault.stores.releases.takeOverdue(tx, addSeconds(tx.now, -OVERDUE_SECONDS)))
      await noticeRelease(release, { signals: ['overdue'] }, tx, vault);
  });
}

/** A record beside the release, for whoever watches. */
export async function noticeRelease(
  row: ReleaseRow,
  { signals, smallRanges }: { readonly signals?: readonly Signal[]; readonly smallRanges?: number },
  tx: Tx,
  vault: Pick<Vault, 'accessLog'>,
): Promise<void> {
  const { namespace, releaseId, recordId: begin, subjectId, spkiDigest, modelId, versionId } = row;
  await vault.accessLog.append(tx, {
    type: 'release.noticed',
    outcome: 'success',
    namespace,
    actor: { kind: 'requester', subjectId, spkiDigest },
    object: { modelId, versionId },
    release: { releaseId, begin, subjectId, smallRanges },
    signals,
  });
}

/** `live`: a living node still has streams open. `dead`: the last word of a dead node was that it had. */
async function sendingState(progress: readonly ProgressRow[], tx: Tx, vault: Ports): Promise<'idle' | 'live' | 'dead'> {
  let state: 'idle' | 'dead' = 'idle';
  for (const row of progress.filter((one) => one.activeStreams > 0)) {
    if (row.node === vault.node || (await vault.stores.releases.nodeLives(tx, row.node))) return 'live';
    state = 'dead';
  }
  return state;
}

async function end(row: ReleaseRow, outcome: ReleaseOutcome, progress: readonly ProgressRow[], tx: Tx, vault: Ports): Promise<void> {
  if (!(await vault.stores.releases.endRelease(tx, row.releaseId, outcome))) return;
  const sum = (figure: 'bytes' | 'completedObjects' | 'abortedStreams') => progress.reduce((total, node) => total + node[figure], 0);
  const settled = await vault.stores.releases.settleEgress(tx, row.releaseId, sum('bytes'));
  const { versionBytes = 0, smallRanges = 0 } = settled ?? {};
  await vault.accessLog.append(tx, {
    type: outcome === 'unknown' ? 'release.unknown' : 'release.end',
    outcome: outcome === 'completed' ? 'success' : 'failure',
    ...(outcome === 'cut' && { reason: 'release_cut' as const }),
    ...(outcome === 'expired' && { reason: 'release_expired' as const }),
    namespace: row.namespace,
    actor: { kind: 'system' },
    object: { modelId: row.modelId, versionId: row.versionId, versionDigest: row.versionDigest },
    release: {
      releaseId: row.releaseId,
      begin: row.recordId,
      outcome,
      bytes: sum('bytes'),
      completedObjects: sum('completedObjects'),
      abortedStreams: sum('abortedStreams'),
      subjectId: row.subjectId,
      ...(versionBytes > 0 && { sharePpm: Math.floor((sum('bytes') / versionBytes) * 1_000_000) }),
      ...(smallRanges > 0 && { smallRanges }),
    },
  });
}

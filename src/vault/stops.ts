/**
 * What is stopped. A row says so until a signed document lifts it, and a process that has once seen a stop forgets it no more: whoever writes
 * the database can neither lift one nor make it disappear (promise P3).
 */
import type { Bodies } from '../documents/bodies.ts';
import { CLASSES } from '../domain/classes.ts';
import { addSeconds } from '../domain/clock.ts';
import { type ErrorCode, isTampering, VaultError } from '../domain/errors.ts';
import { type Refusal, refuse } from '../domain/evidence.ts';
import type { Digest, StopId } from '../domain/ids.ts';
import { type KnownStop, kindOf, STOP_SCOPES, type Stop, type StopKind, type Stoppable, stopOf } from '../domain/stop.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { readDocument } from './documents.ts';
import type { CatalogueKey, Vault } from './vault.ts';

type Ports = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey'>;

interface Seen {
  readonly stop: Stop;
  /** A `lift` document that was named for it, by its row or by the access log. */
  named?: Digest | undefined;
  /** One that was read and lifts it: that stays true. */
  lifted: boolean;
}

const memory = new WeakMap<CatalogueKey, Map<StopId, Seen>>();

/**
 * Every stop this process knows of: the rows as this transaction sees them, and what it has seen or been told before. Not to be asked after
 * a stop was written in the same transaction, which may yet be undone.
 */
export async function knownStops(tx: Tx, vault: Ports): Promise<readonly KnownStop[]> {
  for (const { liftDigest, name: _, ...stop } of await vault.stores.releases.stops(tx)) rememberStop(stop, vault.catalogueKey, liftDigest);
  const known: KnownStop[] = [];
  for (const seen of seenBy(vault.catalogueKey).values()) {
    seen.lifted ||= seen.named !== undefined && (await lifts(seen.named, seen.stop, tx, vault));
    known.push({ ...seen.stop, lifted: seen.lifted });
  }
  return known;
}

/**
 * What the access log, or a row, says was placed, and the document that is said to lift it. Of two accounts of one stop the first counts;
 * a document lifts only when it verifies. recollect.ts tells it everything on record before the first row is read.
 */
export function rememberStop(stop: Stop, key: CatalogueKey, liftDigest?: Digest): void {
  const seen = seenBy(key);
  const scope = STOP_SCOPES.includes(stop.scope) ? stop.scope : 'vault'; // of a newer product, or altered: what it covers is not known
  const known: Seen = seen.get(stop.stopId) ?? { stop: { ...stop, scope }, lifted: false };
  seen.set(stop.stopId, known);
  known.named = liftDigest ?? known.named;
}

/** The stop that stops it, as a refusal. */
export async function refusedByStop(what: Stoppable, tx: Tx, vault: Ports): Promise<Refusal | undefined> {
  const stop = stopOf(await knownStops(tx, vault), what);
  return stop && refuse(codeOfStop(stop), stop.stopId);
}

export function codeOfStop(stop: KnownStop): ErrorCode {
  if (stop.lifted) return 'release_cut';
  return stop.scope === 'key' ? 'key_suspended' : CODES[kindOf(stop)];
}

const CODES: Readonly<Record<StopKind, ErrorCode>> = { block: 'subject_blocked', suspend: 'version_suspended', lockdown: 'lockdown' };

const LONGEST_RELEASE_SECONDS = Math.max(...Object.values(CLASSES).map(({ releaseSeconds }) => releaseSeconds));

/** Those that can still end a release. What was lifted long ago has ended what there was. */
export function endingStops(stops: readonly KnownStop[], now: Date): readonly KnownStop[] {
  const since = addSeconds(now, -LONGEST_RELEASE_SECONDS);
  return stops.filter((stop) => !stop.lifted || stop.createdAt >= since);
}

/** Signed, of this very stop, with the consent of two: people, authenticators and workstations all different. */
async function lifts(digest: Digest, { stopId, namespace }: Stop, tx: Tx, vault: Ports): Promise<boolean> {
  try {
    const said = await readDocument('lift', digest, tx, vault);
    return said.stopId === stopId && said.namespace === namespace && isOfTwo(said);
  } catch (error) {
    if (error instanceof VaultError && isTampering(error.code)) return false; // a row may point anywhere: it is stopped
    throw error;
  }
}

function isOfTwo({ consents }: Bodies['lift']): boolean {
  return (['administratorId', 'authenticatorId', 'workstation'] as const).every((of) => new Set(consents.map((one) => one[of])).size > 1);
}

function seenBy(key: CatalogueKey): Map<StopId, Seen> {
  const seen = memory.get(key) ?? new Map<StopId, Seen>();
  memory.set(key, seen);
  return seen;
}

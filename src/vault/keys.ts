/** What administrators see of key-encryption keys, and ask for. */
import type { RewrapJob } from '../catalog/port.ts';
import { VaultError } from '../domain/errors.ts';
import { type Namespace, type StopId, SYSTEM } from '../domain/ids.ts';
import { KEY_USES, type KeyState } from '../domain/key-state.ts';
import type { Stop } from '../domain/stop.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import { type ApprovalAnswer, requestApproval } from './approve.ts';
import { type AdminActor, authorize } from './authorize.ts';
import { type KeyRing, type KeyVersion, kekName, keyRing, keyRings } from './key-ring.ts';
import { kekIdOf, nextVersion } from './operations/key-ring.ts';
import type { Operation, OperationPorts } from './operations/operation.ts';
import { OPERATION_ACTIONS } from './operations/registry.ts';
import { placeStop, requestLift, type StopPorts } from './stop.ts';
import { knownStops } from './stops.ts';
import type { Vault } from './vault.ts';
import { UNREADABLE, wrappedUnder } from './wrapped-under.ts';

const DAY_MS = 86_400_000;

export interface KeyVersionSeen extends Omit<KeyVersion, 'state'> {
  /** `suspended` while a stop is in force, whatever the ring says. */
  readonly state: KeyState | 'suspended';
  /** What the signed ring says. */
  readonly ringState: KeyState;
  /** DEKs and authenticator seeds that are wrapped under it. */
  readonly wrapped: number;
  /** The stop that suspends it. */
  readonly stopId?: StopId;
  /** Of the active version: it should be rotated before. */
  readonly rotateBefore?: Date;
}

export interface RingSeen extends Omit<KeyRing, 'keks' | 'consents'> {
  readonly keks: readonly KeyVersionSeen[];
}

export interface KeysSeen extends RingSeen {
  /** Wrapped blobs of the whole vault that cannot be read: altered rows. */
  readonly unreadable: number;
}

type ReadPorts = Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'kek' | 'accessLog'>;

/** Every version of the namespace's own KEK (of `system`: of the vault's), its state, and how much is wrapped under it. */
export async function readKeys(actor: AdminActor, namespace: Namespace, vault: ReadPorts): Promise<KeysSeen> {
  await authorize(actor, 'readCatalogue', namespace, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const wrapped = await wrappedUnder(tx, vault);
    const ring = seen(await keyRing(namespace, tx, vault), wrapped, await suspensions(tx, vault));
    return { ...ring, unreadable: wrapped.get(UNREADABLE) ?? 0 };
  });
}

/** All rings, and how far their rewrap is. */
export async function listKeys(actor: AdminActor, vault: ReadPorts) {
  await authorize(actor, 'readCatalogue', SYSTEM, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const [rings, wrapped, stops] = [await keyRings(tx, vault), await wrappedUnder(tx, vault), await suspensions(tx, vault)];
    const job = await vault.stores.catalog.rewrapJob(tx);
    const unreadable = wrapped.get(UNREADABLE) ?? 0;
    return { rings: rings.map((ring) => seen(ring, wrapped, stops)), unreadable, ...(job && { rewrap: progressOf(job) }) };
  });
}

export function progressOf(job: RewrapJob) {
  const { total, done, rewrapped, failed, waiting, keysPerSecond, startedAt, updatedAt, finishedAt } = job;
  return { total, done, rewrapped, failed, waiting, keysPerSecond, startedAt, updatedAt, ...(finishedAt && { finishedAt }) };
}

/** For figures and the Doctor. Days until the first active version should be rotated; how many are suspended; how many keys wait for a rewrap. */
export function keyFigures(vault: Omit<ReadPorts, 'accessLog'>) {
  return vault.stores.unitOfWork.run(async (tx) => {
    const [rings, stops] = [await keyRings(tx, vault), await suspensions(tx, vault)];
    const active = rings.flatMap((ring) => seen(ring, new Map(), stops).keks.flatMap(({ rotateBefore }) => rotateBefore ?? []));
    const job = await vault.stores.catalog.rewrapJob(tx);
    const daysLeft = Math.min(...active.map((date) => (date.getTime() - tx.now.getTime()) / DAY_MS));
    return { daysLeft, suspended: stops.size, rewrapLeft: job === undefined || job.finishedAt ? 0 : job.total - job.done };
  });
}

/** The cryptoperiod of each active version, for the watch. */
export function cryptoperiods(vault: Omit<ReadPorts, 'accessLog'>): Promise<ReadonlyArray<{ name: string; from: Date; to: Date }>> {
  return vault.stores.unitOfWork.run(async (tx) =>
    (await keyRings(tx, vault)).flatMap((ring) =>
      seen(ring, new Map(), new Map()).keks.flatMap((kek) => {
        const { rotateBefore: to, activatedAt } = kek;
        if (to === undefined || activatedAt === undefined) return [];
        return [{ name: `the cryptoperiod of ${kekName(kek)}`, from: new Date(activatedAt), to }];
      }),
    ),
  );
}

async function suspensions(tx: Tx, vault: Omit<ReadPorts, 'accessLog'>): Promise<ReadonlyMap<string, StopId>> {
  const stops = (await knownStops(tx, vault)).filter((stop) => stop.scope === 'key' && !stop.lifted);
  return new Map(stops.map(({ target, stopId }) => [String(target), stopId]));
}

function seen(ring: KeyRing, wrapped: ReadonlyMap<string, number>, stops: ReadonlyMap<string, StopId>): RingSeen {
  const { consents: _, ...rest } = ring;
  const keks = ring.keks.map((kek): KeyVersionSeen => {
    const stopId = stops.get(kekName(kek));
    const since = KEY_USES[kek.state].wraps ? kek.activatedAt : undefined;
    return {
      ...kek,
      state: stopId === undefined ? kek.state : 'suspended',
      ringState: kek.state,
      wrapped: wrapped.get(kekName(kek)) ?? 0,
      ...(stopId && { stopId }),
      ...(since && { rotateBefore: new Date(Date.parse(since) + ring.cryptoperiodDays * DAY_MS) }),
    };
  });
  return { ...rest, keks };
}

/** Asks for the next version of the KEK to be made, or for the first one of the namespace's own. */
export function requestCreation(actor: AdminActor, namespace: Namespace, vault: OperationPorts): Promise<ApprovalAnswer> {
  return requestOf(actor, 'create-key', namespace, vault, (ring) => ({
    kind: 'create-key',
    keyId: kekIdOf(ring, vault),
    version: nextVersion(ring),
  }));
}

/** Asks for the next version of the KEK to be the active one. */
export function requestRotation(actor: AdminActor, namespace: Namespace, vault: OperationPorts): Promise<ApprovalAnswer> {
  return requestOf(actor, 'rotate-key', namespace, vault, (ring) => ({
    kind: 'rotate-key',
    keyId: kekIdOf(ring, vault),
    version: nextVersion(ring),
  }));
}

/** Asks for a change of one version that there is. */
export function requestChange(
  actor: AdminActor,
  kind: 'compromise-key' | 'destroy-key' | 'keep-key',
  { namespace, version }: { readonly namespace: Namespace; readonly version: number },
  vault: OperationPorts,
): Promise<ApprovalAnswer> {
  return requestOf(actor, kind, namespace, vault, (ring) => ({ kind, keyId: versionOf(ring, version).id, version }));
}

export function requestPeriods(
  actor: AdminActor,
  namespace: Namespace,
  periods: { readonly cryptoperiodDays?: number | undefined; readonly destructionWaitDays?: number | undefined },
  vault: OperationPorts,
): Promise<ApprovalAnswer> {
  return requestOf(actor, 'key-periods', namespace, vault, ({ cryptoperiodDays, destructionWaitDays }) => ({
    kind: 'key-periods',
    cryptoperiodDays: periods.cryptoperiodDays ?? cryptoperiodDays,
    destructionWaitDays: periods.destructionWaitDays ?? destructionWaitDays,
  }));
}

/** Stops one version at once: nothing is opened or wrapped under it any more, streams that read under it are cut. One person, no HSM. */
export function suspendKey(
  actor: AdminActor,
  { namespace, version }: { readonly namespace: Namespace; readonly version: number },
  vault: StopPorts & Pick<Vault, 'kek'>,
): Promise<Stop> {
  return placeStop(actor, 'suspend', namespace, vault, async (tx) => {
    const kek = versionOf(await keyRing(namespace, tx, vault), version);
    if (kek.state === 'destroyed' || kek.state === 'pre-activation') {
      throw new VaultError('key_state_conflict', `${kekName(kek)} is ${kek.state}`);
    }
    return { scope: 'key', target: kekName(kek) };
  });
}

/** Asks for the suspension to be lifted: two people, as for every stop. */
export async function requestResume(
  actor: AdminActor,
  { namespace, version }: { readonly namespace: Namespace; readonly version: number },
  vault: OperationPorts,
): Promise<ApprovalAnswer> {
  await authorize(actor, 'liftStop', namespace, vault);
  const stop = await vault.stores.unitOfWork.run(async (tx) => {
    const name = kekName(versionOf(await keyRing(namespace, tx, vault), version));
    return (await suspensions(tx, vault)).get(name);
  });
  if (stop === undefined) throw new VaultError('key_state_conflict', `version ${version} is not suspended`);
  return requestLift(actor, { namespace, stop }, vault);
}

function versionOf(ring: KeyRing, version: number): KeyVersion {
  const found = ring.keks.find((kek) => kek.version === version);
  if (found === undefined) throw new VaultError('key_state_conflict', `there is no version ${version} of the KEK of ${ring.namespace}`);
  return found;
}

type Asked<O> = O extends Operation ? Omit<O, 'namespace' | 'counter'> : never;

/** Who may not ask learns nothing of the ring. */
async function requestOf(
  actor: AdminActor,
  kind: Operation['kind'],
  namespace: Namespace,
  vault: OperationPorts,
  operation: (ring: KeyRing) => Asked<Operation>,
): Promise<ApprovalAnswer> {
  await authorize(actor, OPERATION_ACTIONS[kind], namespace, vault);
  const ring = await vault.stores.unitOfWork.run((tx) => keyRing(namespace, tx, vault));
  return requestApproval(actor, { ...operation(ring), namespace, counter: ring.counter + 1 } as Operation, vault);
}

/** The three stop buttons. One person presses them, nothing is signed and no HSM is asked, so they work when little else does. */
import { loggable, type RecordDraft } from '../audit/record.ts';
import { VaultError } from '../domain/errors.ts';
import { type KeyName, type ModelId, type Namespace, newId, type StopId, type SubjectId, SYSTEM, type VersionId } from '../domain/ids.ts';
import { type KnownStop, kindOf, type Stop, type StopKind, type StopScope } from '../domain/stop.ts';
import type { Tx } from '../domain/unit-of-work.ts';
import type { AdminAction } from '../policy/actions.ts';
import type { StopRow } from '../releases/port.ts';
import { type ApprovalAnswer, requestApproval } from './approve.ts';
import { type AdminActor, actorOf, authorize, personalOf } from './authorize.ts';
import type { OperationPorts } from './operations/operation.ts';
import { endOverdueReleases } from './outcome.ts';
import { knownStops } from './stops.ts';
import type { Vault } from './vault.ts';

export type StopPorts = Pick<Vault, 'vaultId' | 'node' | 'stores' | 'catalogueKey' | 'accessLog' | 'revocations' | 'meter'>;

/** What is to be stopped, looked up in the transaction that stops it. */
export interface Wanted {
  readonly scope: StopScope;
  readonly target?: SubjectId | ModelId | VersionId | KeyName;
  /** What people call it. */
  readonly name?: string;
}

const ACTIONS: Readonly<Record<StopKind, AdminAction>> = { block: 'blockRequester', suspend: 'suspend', lockdown: 'lockdown' };

/** `version_unknown` or `model_unknown` for what is not there. With a version only that one stops, else all there are and will be. */
export function suspend(
  actor: AdminActor,
  wanted: { readonly namespace: Namespace; readonly model: string; readonly version?: VersionId | undefined },
  vault: StopPorts,
): Promise<Stop> {
  const { namespace, model: name, version: versionId } = wanted;
  return placeStop(actor, 'suspend', namespace, vault, async (tx) => {
    const model = await vault.stores.catalog.modelByName(tx, namespace, name);
    if (model === undefined) throw new VaultError('model_unknown', name);
    if (versionId === undefined) return { scope: 'model', target: model.modelId, name };
    const version = await vault.stores.catalog.version(tx, namespace, versionId);
    if (version?.modelId !== model.modelId) throw new VaultError('version_unknown', versionId);
    return { scope: 'version', target: versionId, name };
  });
}

/** Of the namespace `system`: of the whole vault. */
export function lockdown(actor: AdminActor, namespace: Namespace, vault: StopPorts): Promise<Stop> {
  return placeStop(actor, 'lockdown', namespace, vault, async () => ({ scope: namespace === SYSTEM ? 'vault' : 'namespace' }));
}

export interface SeenStop {
  readonly stopId: StopId;
  readonly kind: StopKind;
  readonly scope: StopScope;
  readonly namespace: Namespace;
  readonly target?: string;
  /** Of the requester or model when it was stopped; a row says it, so nothing is decided by it. */
  readonly name?: string;
  readonly state: 'in-force' | 'lifted';
  readonly createdAt: Date;
}

/** What was ever stopped in the namespace, newest first, and lockdowns of the whole vault with it. */
export async function listStops(actor: AdminActor, namespace: Namespace, vault: StopPorts): Promise<SeenStop[]> {
  await authorize(actor, 'readCatalogue', namespace, vault);
  return vault.stores.unitOfWork.run(async (tx) => {
    const names = new Map((await vault.stores.releases.stops(tx)).map(({ stopId, name }) => [stopId, name]));
    const stops = (await knownStops(tx, vault)).filter((stop) => stop.namespace === namespace || stop.scope === 'vault');
    return stops.toSorted((a, b) => b.createdAt.getTime() - a.createdAt.getTime()).map((stop) => shown(stop, names.get(stop.stopId)));
  });
}

function shown({ lifted, ...stop }: KnownStop, name: string | undefined): SeenStop {
  return { ...stop, kind: kindOf(stop), ...(name !== undefined && { name }), state: lifted ? 'lifted' : 'in-force' };
}

/** Asks for a stop to be lifted. `stop_unknown`, or `stop_lifted` when it was. */
export async function requestLift(
  actor: AdminActor,
  { namespace, stop: stopId }: { readonly namespace: Namespace; readonly stop: StopId },
  vault: OperationPorts,
): Promise<ApprovalAnswer> {
  const stops = await vault.stores.unitOfWork.run((tx) => knownStops(tx, vault));
  const stop = stops.find((one) => one.stopId === stopId && one.namespace === namespace);
  if (stop === undefined) {
    await authorize(actor, 'liftStop', namespace, vault); // who may not lift learns nothing
    throw new VaultError('stop_unknown', stopId);
  }
  const { scope, target } = stop;
  return requestApproval(actor, { kind: 'lift', namespace, stopId, scope, ...(target !== undefined && { target }) }, vault);
}

/**
 * In force when this resolves, and no node sends another byte of what it covers later than 5 s after (promise P3); the releases it covers
 * end as `cut`. What is stopped already is no change: its stop is answered. operations/lift.ts lifts it, with two people.
 */
export async function placeStop(
  actor: AdminActor,
  kind: StopKind,
  namespace: Namespace,
  vault: StopPorts,
  find: (tx: Tx) => Promise<Wanted>,
): Promise<Stop> {
  await authorize(actor, ACTIONS[kind], namespace, vault);
  const by = { actor: actorOf(actor), request: { requestId: loggable(actor.requestId, 64) }, personal: personalOf(actor) };
  const placed = await vault.stores.unitOfWork.run(async (tx) => writeStop(namespace, await find(tx), by, tx, vault));
  await vault.revocations.refresh();
  await endOverdueReleases(vault);
  return placed;
}

/** The row and its record. What is stopped already is no change: its stop is answered. */
export async function writeStop(
  namespace: Namespace,
  { name, ...wanted }: Wanted,
  by: Pick<RecordDraft, 'actor' | 'request' | 'personal' | 'detail'>,
  tx: Tx,
  vault: Pick<Vault, 'vaultId' | 'stores' | 'catalogueKey' | 'accessLog'>,
): Promise<Stop> {
  const same = (stop: Stop) => stop.scope === wanted.scope && stop.namespace === namespace && stop.target === wanted.target;
  const known = (await knownStops(tx, vault)).find((stop) => !stop.lifted && same(stop));
  if (known !== undefined) {
    await vault.stores.releases.insertStop(tx, { ...known, ...(name !== undefined && { name }) }); // in case its row vanished
    return known;
  }
  const row: StopRow = { stopId: newId<StopId>(tx.now), namespace, createdAt: tx.now, ...wanted, ...(name !== undefined && { name }) };
  await vault.stores.releases.insertStop(tx, row);
  const { stopId, scope, target } = row;
  await vault.accessLog.append(tx, {
    type: 'stop.placed',
    outcome: 'success',
    namespace,
    stop: { stopId, kind: kindOf(row), scope, target },
    ...(name !== undefined && { detail: loggable(name, 64) }),
    ...by,
  });
  return row;
}

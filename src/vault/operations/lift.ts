import { signDocument } from '../../documents/document.ts';
import { VaultError } from '../../domain/errors.ts';
import { type KnownStop, kindOf } from '../../domain/stop.ts';
import type { Tx } from '../../domain/unit-of-work.ts';
import { knownStops } from '../stops.ts';
import type { Lift, OperationPorts, OperationSpec } from './operation.ts';

/** A stop ends. Two people, always; who was stopped attests again, and releases that it ended stay ended. */
export const lift: OperationSpec<Lift> = {
  action: 'liftStop',
  async check(operation, tx, vault) {
    const stop = await stopOf(operation, tx, vault);
    const same = stop.scope === operation.scope && stop.target === operation.target;
    if (!same) throw new VaultError('approval_changed', 'the stop is another one than was asked for');
    if (stop.lifted) throw new VaultError('stop_lifted', stop.stopId);
  },
  sign: ({ stopId }, { head, consents }, vault) => signDocument('lift', { ...head, stopId, consents }, vault.catalogueKey.sign),
  async apply(operation, document, tx, vault) {
    const { lifted: _, ...stop } = await stopOf(operation, tx, vault);
    await vault.stores.releases.insertStop(tx, stop); // in case its row vanished
    await vault.stores.releases.pointLift(tx, operation.stopId, document.digest);
  },
  record: ({ stopId, scope, target }, document) => ({
    type: 'stop.lifted',
    stop: { stopId, kind: kindOf({ scope }), scope, target },
    document: { kind: 'lift', digest: document.digest },
  }),
  afterwards: (_, vault) => vault.revocations.refresh(),
};

async function stopOf({ stopId, namespace }: Lift, tx: Tx, vault: OperationPorts): Promise<KnownStop> {
  const stop = (await knownStops(tx, vault)).find((one) => one.stopId === stopId && one.namespace === namespace);
  if (stop === undefined) throw new VaultError('stop_unknown', stopId);
  return stop;
}

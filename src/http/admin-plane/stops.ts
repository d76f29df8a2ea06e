/** Suspensions and lockdowns, what is stopped, and asking for it to be lifted. A block is beside the requesters. */
import { type Namespace, SYSTEM } from '../../domain/ids.ts';
import type { Stop } from '../../domain/stop.ts';
import type { AdminActor } from '../../vault/authorize.ts';
import { OPERATION_ACTIONS } from '../../vault/operations/registry.ts';
import { listStops, lockdown, requestLift, suspend } from '../../vault/stop.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Route } from '../route.ts';
import * as answers from './answers.ts';
import * as bodies from './bodies.ts';
import { type AdminCallers, NAMESPACE } from './callers.ts';

export function stopRoutes(vault: Vault, { forAdministrator }: AdminCallers): Route[] {
  const list = async (actor: AdminActor, namespace: Namespace) => ({ stops: await listStops(actor, namespace, vault) });
  return [
    forAdministrator({
      method: 'post',
      path: `${NAMESPACE}/models/:model/suspend`,
      action: 'suspend',
      operationId: 'suspendModel',
      summary: 'Stop a model, or one version of it: nothing more of it leaves 5 s after the answer',
      body: bodies.suspend,
      answers: { 200: answers.placed },
      handle: async ({ actor, params, body }) => placed(await suspend(actor, { ...params, ...body }, vault)),
    }),
    forAdministrator({
      method: 'post',
      path: `${NAMESPACE}/lockdown`,
      action: 'lockdown',
      operationId: 'lockdownNamespace',
      summary: 'Stop everything in a namespace: nothing more leaves it 5 s after the answer, and nothing is changed in it',
      answers: { 200: answers.placed },
      handle: async ({ actor, params }) => placed(await lockdown(actor, params.namespace, vault)),
    }),
    forAdministrator({
      method: 'post',
      path: '/v1/lockdown',
      action: 'lockdown',
      operationId: 'lockdownVault',
      summary: 'Stop everything in the vault: nothing more leaves it 5 s after the answer, and nothing is changed in it',
      answers: { 200: answers.placed },
      handle: async ({ actor }) => placed(await lockdown(actor, SYSTEM, vault)),
    }),
    forAdministrator({
      method: 'get',
      path: `${NAMESPACE}/stops`,
      action: 'readCatalogue',
      operationId: 'listStops',
      summary: 'Blocks, suspensions and lockdowns of a namespace, newest first, and lockdowns of the vault with them',
      answers: { 200: answers.stops },
      handle: ({ actor, params }) => list(actor, params.namespace),
    }),
    forAdministrator({
      method: 'get',
      path: '/v1/stops',
      action: 'readCatalogue',
      operationId: 'listVaultStops',
      summary: 'Lockdowns of the vault, newest first',
      answers: { 200: answers.stops },
      handle: ({ actor }) => list(actor, SYSTEM),
    }),
    forAdministrator({
      method: 'post',
      path: `${NAMESPACE}/stops/:stop/lift`,
      action: OPERATION_ACTIONS.lift,
      operationId: 'liftStop',
      summary: 'Ask for a stop to be lifted, of the vault in the namespace `system`; another person must consent',
      answers: { 201: answers.approval },
      handle: ({ actor, params }) => requestLift(actor, params, vault),
    }),
  ];
}

export function placed({ stopId, scope, namespace, target }: Stop) {
  return { stopId, scope, namespace, ...(target !== undefined && { target }) };
}

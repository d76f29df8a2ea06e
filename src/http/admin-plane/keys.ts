/** The key-encryption key: its versions, rotation, destruction. */
import { SYSTEM } from '../../domain/ids.ts';
import { readKeys, requestDestruction, requestRotation } from '../../vault/keys.ts';
import { OPERATION_ACTIONS } from '../../vault/operations/registry.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Route } from '../route.ts';
import * as answers from './answers.ts';
import type { AdminCallers } from './callers.ts';

const KEYS = `/v1/namespaces/${SYSTEM}/keys`;

export function keyRoutes(vault: Vault, { forAdministrator }: AdminCallers): Route[] {
  return [
    forAdministrator({
      method: 'get',
      path: KEYS,
      action: 'readCatalogue',
      operationId: 'readKeys',
      summary: 'Every version of the KEK, its state, and how many keys are wrapped under it',
      answers: { 200: answers.keys },
      handle: ({ actor }) => readKeys(actor, vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${KEYS}/rotate`,
      action: OPERATION_ACTIONS['rotate-key'],
      operationId: 'rotateKey',
      summary: 'Ask for the next version of the KEK; what is wrapped is then rewrapped, and no weight is rewritten',
      answers: { 201: answers.approval },
      handle: ({ actor }) => requestRotation(actor, vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${KEYS}/:keyVersion/destroy`,
      action: OPERATION_ACTIONS['destroy-key'],
      operationId: 'destroyKey',
      summary: 'Ask for a deactivated version of the KEK to be destroyed; `wv keys erase` then does it beside the HSM',
      answers: { 201: answers.approval },
      handle: ({ actor, params }) => requestDestruction(actor, Number(params.keyVersion), vault),
    }),
  ];
}

/** Promotion, aliases of versions, and the class of a model. */
import { requestDecoy } from '../../vault/decoys.ts';
import { readAlias, requestAlias, requestClassChange, requestPromotion } from '../../vault/naming.ts';
import { OPERATION_ACTIONS } from '../../vault/operations/registry.ts';
import type { Vault } from '../../vault/vault.ts';
import { requestVersionDestruction } from '../../vault/version-destruction.ts';
import type { Route } from '../route.ts';
import * as answers from './answers.ts';
import * as bodies from './bodies.ts';
import { type AdminCallers, NAMESPACE } from './callers.ts';

export function namingRoutes(vault: Vault, { forAdministrator }: AdminCallers): Route[] {
  return [
    forAdministrator({
      method: 'post',
      path: `${NAMESPACE}/versions/:version/promote`,
      action: OPERATION_ACTIONS.promote,
      operationId: 'promoteVersion',
      summary: 'Ask again for a quarantined version to be promoted; publishing asks once by itself',
      answers: { 201: answers.approval },
      handle: ({ actor, params }) => requestPromotion(actor, params, vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${NAMESPACE}/versions/:version/destroy`,
      action: OPERATION_ACTIONS['destroy-version'],
      operationId: 'destroyVersion',
      summary: 'Ask for a version to be destroyed after the waiting period; once approved it is released to nobody',
      answers: { 201: answers.approval },
      handle: ({ actor, params }) => requestVersionDestruction(actor, params, 'decided', vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${NAMESPACE}/versions/:version/keep`,
      action: OPERATION_ACTIONS['destroy-version'],
      operationId: 'keepVersion',
      summary: 'Ask for the decision to destroy a version to be taken back, while it waits',
      answers: { 201: answers.approval },
      handle: ({ actor, params }) => requestVersionDestruction(actor, params, 'kept', vault),
    }),
    forAdministrator({
      method: 'put',
      path: `${NAMESPACE}/models/:model/decoy`,
      action: OPERATION_ACTIONS.decoy,
      operationId: 'setDecoy',
      summary: 'Ask for a model to be a decoy, or no longer; another person must consent',
      body: bodies.decoy,
      answers: { 201: answers.approval },
      handle: ({ actor, params, body }) => requestDecoy(actor, { ...params, ...body }, vault),
    }),
    forAdministrator({
      method: 'get',
      path: `${NAMESPACE}/models/:model/aliases/:alias`,
      action: 'readCatalogue',
      operationId: 'readAlias',
      summary: 'The version that an alias names now',
      answers: { 200: answers.alias },
      handle: ({ actor, params }) => readAlias(actor, params, vault),
    }),
    forAdministrator({
      method: 'put',
      path: `${NAMESPACE}/models/:model/aliases/:alias`,
      action: OPERATION_ACTIONS.alias,
      operationId: 'setAlias',
      summary: 'Ask for an alias to name a promoted version; as many people as its class takes',
      body: bodies.alias,
      answers: { 201: answers.approval },
      handle: ({ actor, params, body }) => requestAlias(actor, { ...params, ...body }, vault),
    }),
    forAdministrator({
      method: 'put',
      path: `${NAMESPACE}/models/:model/class`,
      action: OPERATION_ACTIONS['class-change'],
      operationId: 'changeClass',
      summary: 'Ask for another class of a model and all its versions',
      body: bodies.classChange,
      answers: { 201: answers.approval },
      handle: ({ actor, params, body }) => requestClassChange(actor, { ...params, ...body }, vault),
    }),
  ];
}

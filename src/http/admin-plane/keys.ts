/** Key-encryption keys: the rings, their versions, what becomes of each, and the rewrap. */

import {
  listKeys,
  readKeys,
  requestChange,
  requestCreation,
  requestPeriods,
  requestResume,
  requestRotation,
  suspendKey,
} from '../../vault/keys.ts';
import { OPERATION_ACTIONS } from '../../vault/operations/registry.ts';
import { readRecovery, requestRecoveryKey, requestRecoveryWithdrawal } from '../../vault/recovery.ts';
import { requestRewrap } from '../../vault/rewrap-request.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Route } from '../route.ts';
import * as answers from './answers.ts';
import * as bodies from './bodies.ts';
import { type AdminCallers, NAMESPACE } from './callers.ts';
import { placed } from './stops.ts';

const KEYS = `${NAMESPACE}/keys` as const;
const VERSION = `${KEYS}/:keyVersion` as const;

export function keyRoutes(vault: Vault, callers: AdminCallers): Route[] {
  return [...ringRoutes(vault, callers), ...versionRoutes(vault, callers), ...recoveryRoutes(vault, callers)];
}

function ringRoutes(vault: Vault, { forAdministrator }: AdminCallers): Route[] {
  return [
    forAdministrator({
      method: 'get',
      path: '/v1/keys',
      action: 'readCatalogue',
      operationId: 'listKeys',
      summary: 'Every KEK of the vault and of namespaces, and how far the rewrap is',
      answers: { 200: answers.allKeys },
      handle: ({ actor }) => listKeys(actor, vault),
    }),
    forAdministrator({
      method: 'post',
      path: '/v1/keys/rewrap',
      action: 'rotateKey',
      operationId: 'rewrapKeys',
      summary: 'Set how fast keys are rewrapped, and go through all of them again when it was finished',
      body: bodies.rewrap,
      answers: { 200: answers.rewrap },
      handle: ({ actor, body }) => requestRewrap(actor, body, vault),
    }),
    forAdministrator({
      method: 'get',
      path: KEYS,
      action: 'readCatalogue',
      operationId: 'readKeys',
      summary: "Every version of the namespace's own KEK, in `system` of the vault's, and how many keys are wrapped under it",
      answers: { 200: answers.keys },
      handle: ({ actor, params }) => readKeys(actor, params.namespace, vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${KEYS}/create`,
      action: OPERATION_ACTIONS['create-key'],
      operationId: 'createKey',
      summary: "Ask for the next version of the KEK to be made, or for the first of a namespace's own; it wraps nothing yet",
      answers: { 201: answers.approval },
      handle: ({ actor, params }) => requestCreation(actor, params.namespace, vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${KEYS}/rotate`,
      action: OPERATION_ACTIONS['rotate-key'],
      operationId: 'rotateKey',
      summary: 'Ask for the next version of the KEK; what is wrapped is then rewrapped, and no weight is rewritten',
      answers: { 201: answers.approval },
      handle: ({ actor, params }) => requestRotation(actor, params.namespace, vault),
    }),
    forAdministrator({
      method: 'put',
      path: `${KEYS}/periods`,
      action: OPERATION_ACTIONS['key-periods'],
      operationId: 'setKeyPeriods',
      summary: 'Ask for another cryptoperiod, or another waiting period before a destruction, of this KEK',
      body: bodies.keyPeriods,
      answers: { 201: answers.approval },
      handle: ({ actor, params, body }) => requestPeriods(actor, params.namespace, body, vault),
    }),
  ];
}

const numbered = <P extends { readonly keyVersion: string }>({ keyVersion, ...params }: P) => ({ ...params, version: Number(keyVersion) });

function versionRoutes(vault: Vault, { forAdministrator }: AdminCallers): Route[] {
  return [
    forAdministrator({
      method: 'post',
      path: `${VERSION}/suspend`,
      action: 'suspend',
      operationId: 'suspendKey',
      summary: 'Stop a version of the KEK: 5 s after the answer nothing that it wraps leaves, and nothing is wrapped under it',
      answers: { 200: answers.placed },
      handle: async ({ actor, params }) => placed(await suspendKey(actor, numbered(params), vault)),
    }),
    forAdministrator({
      method: 'post',
      path: `${VERSION}/resume`,
      action: OPERATION_ACTIONS.lift,
      operationId: 'resumeKey',
      summary: 'Ask for the suspension of a version of the KEK to be lifted; another person must consent',
      answers: { 201: answers.approval },
      handle: ({ actor, params }) => requestResume(actor, numbered(params), vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${VERSION}/compromised`,
      action: OPERATION_ACTIONS['compromise-key'],
      operationId: 'compromiseKey',
      summary: 'Ask for a version of the KEK to be called compromised: it wraps nothing more, what it wrapped is rewrapped',
      answers: { 201: answers.approval },
      handle: ({ actor, params }) => requestChange(actor, 'compromise-key', numbered(params), vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${VERSION}/destroy`,
      action: OPERATION_ACTIONS['destroy-key'],
      operationId: 'destroyKey',
      summary: 'Ask for an unused version of the KEK to be destroyed after the waiting period; `wv keys erase` then does it beside the HSM',
      answers: { 201: answers.approval },
      handle: ({ actor, params }) => requestChange(actor, 'destroy-key', numbered(params), vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${VERSION}/keep`,
      action: OPERATION_ACTIONS['keep-key'],
      operationId: 'keepKey',
      summary: 'Ask for the decision to destroy a version of the KEK to be taken back, while it waits',
      answers: { 201: answers.approval },
      handle: ({ actor, params }) => requestChange(actor, 'keep-key', numbered(params), vault),
    }),
  ];
}

function recoveryRoutes(vault: Vault, { forAdministrator }: AdminCallers): Route[] {
  const recovery = '/v1/keys/recovery' as const;
  return [
    forAdministrator({
      method: 'get',
      path: recovery,
      action: 'readCatalogue',
      operationId: 'readRecoveryKey',
      summary: 'The recovery key that was decided last, and how many versions are wrapped for it',
      answers: { 200: answers.recovery },
      handle: async ({ actor }) => ({ recovery: await readRecovery(actor, vault) }),
    }),
    forAdministrator({
      method: 'put',
      path: recovery,
      action: OPERATION_ACTIONS['recovery-key'],
      operationId: 'setRecoveryKey',
      summary: 'Ask for every data key to be wrapped for this offline recovery key too; the vault is given its public part only',
      body: bodies.recoveryKey,
      answers: { 201: answers.approval },
      handle: ({ actor, body }) => requestRecoveryKey(actor, body, vault),
    }),
    forAdministrator({
      method: 'delete',
      path: recovery,
      action: OPERATION_ACTIONS['recovery-key'],
      operationId: 'withdrawRecoveryKey',
      summary: 'Ask for the recovery key to be withdrawn; its wraps are deleted here, and backups keep theirs',
      answers: { 201: answers.approval },
      handle: ({ actor }) => requestRecoveryWithdrawal(actor, vault),
    }),
  ];
}

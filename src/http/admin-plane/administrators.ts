/** Letting people in, changing and removing them; and what a person does for themself: an authenticator, a fresh code. */
import { beginClaim, confirmClaim } from '../../vault/claim.ts';
import { OPERATION_ACTIONS } from '../../vault/operations/registry.ts';
import { requestChange, requestErasure, requestNewcomer, requestRemoval, requestReset } from '../../vault/set-administrator.ts';
import { stepUp } from '../../vault/step-up.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Route } from '../route.ts';
import * as answers from './answers.ts';
import * as bodies from './bodies.ts';
import type { AdminCallers } from './callers.ts';

const ADMINISTRATORS = '/v1/administrators';
const action = OPERATION_ACTIONS.administrator;

export function administratorRoutes(vault: Vault, callers: AdminCallers): Route[] {
  return [...requestable(vault, callers), ...personal(vault, callers)];
}

function requestable(vault: Vault, { forAdministrator }: AdminCallers): Route[] {
  return [
    forAdministrator({
      method: 'post',
      path: ADMINISTRATORS,
      action,
      operationId: 'addAdministrator',
      summary: 'Ask for a person to be let in; then they set up an authenticator on their own workstation',
      body: bodies.newcomer,
      answers: { 201: answers.approval },
      handle: ({ actor, body }) => requestNewcomer(actor, body, vault),
    }),
    forAdministrator({
      method: 'put',
      path: `${ADMINISTRATORS}/:name`,
      action,
      operationId: 'changeAdministrator',
      summary: 'Ask for other roles or workstations of a person; what is not named stays',
      body: bodies.administratorChange,
      answers: { 201: answers.approval },
      handle: ({ actor, params, body }) => requestChange(actor, { ...params, ...body }, vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${ADMINISTRATORS}/:name/remove`,
      action,
      operationId: 'removeAdministrator',
      summary: 'Ask for a person to be removed, for good',
      answers: { 201: answers.approval },
      handle: ({ actor, params }) => requestRemoval(actor, params.name, vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${ADMINISTRATORS}/:name/erase`,
      action,
      operationId: 'eraseAdministrator',
      summary: 'Ask for the name, addresses and documents of a removed person to be erased, for good; records and proofs stay',
      answers: { 201: answers.approval },
      handle: ({ actor, params }) => requestErasure(actor, params.name, vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${ADMINISTRATORS}/:name/reset-authenticator`,
      action,
      operationId: 'resetAuthenticator',
      summary: 'Ask for a lost authenticator to be taken away; the person then sets up another',
      answers: { 201: answers.approval },
      handle: ({ actor, params }) => requestReset(actor, params.name, vault),
    }),
  ];
}

function personal(vault: Vault, { forAdministrator, forWorkstation }: AdminCallers): Route[] {
  return [
    forAdministrator({
      method: 'post',
      path: '/v1/session/step-up',
      action: { open: 'everyone may show a code for their own session' },
      operationId: 'stepUp',
      summary: 'Show a fresh code, in general or for one operation',
      body: bodies.stepUp,
      answers: { 200: answers.steppedUp },
      handle: ({ actor, body }) => stepUp(actor, body, vault),
    }),
    forWorkstation({
      method: 'post',
      path: '/v1/authenticator',
      action: { open: 'whoever was let in has nothing yet but their workstation: the signed document names it' },
      operationId: 'beginAuthenticator',
      summary: 'The seed of a new authenticator, shown once to the workstation of the person',
      body: bodies.claim,
      answers: { 201: answers.claimBegun },
      handle: ({ workstation, body, requestId, remoteAddress }) => beginClaim({ ...body, workstation, requestId, remoteAddress }, vault),
    }),
    forWorkstation({
      method: 'post',
      path: '/v1/authenticator/confirm',
      action: { open: 'the first code of that authenticator, from the same workstation, decides' },
      operationId: 'confirmAuthenticator',
      summary: 'The first code: the authenticator is the person’s from now on',
      body: bodies.login,
      answers: { 200: answers.claimed },
      handle: ({ workstation, body, requestId, remoteAddress }) => confirmClaim({ ...body, workstation, requestId, remoteAddress }, vault),
    }),
  ];
}

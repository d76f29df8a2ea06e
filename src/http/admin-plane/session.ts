/** Logging in and out. */
import { login, logout } from '../../vault/login.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Route } from '../route.ts';
import * as answers from './answers.ts';
import * as bodies from './bodies.ts';
import type { AdminCallers } from './callers.ts';

export function sessionRoutes(vault: Vault, { forWorkstation, forAdministrator }: AdminCallers): Route[] {
  return [
    forWorkstation({
      method: 'post',
      path: '/v1/session',
      action: { open: 'logging in is how an administrator becomes one' },
      operationId: 'logIn',
      summary: 'A session for a workstation and a code',
      body: bodies.login,
      answers: { 201: answers.session },
      handle: ({ workstation, body, requestId, remoteAddress }) => login({ ...body, workstation, requestId, remoteAddress }, vault),
    }),
    forAdministrator({
      method: 'get',
      path: '/v1/session',
      action: { open: 'everyone may see whose session they use' },
      operationId: 'readSession',
      summary: 'Whose session this is',
      answers: { 200: answers.whoami },
      handle: ({ actor }) => ({ administrator: actor.name, administratorId: actor.administratorId, roles: [...actor.roles] }),
    }),
    forAdministrator({
      method: 'delete',
      path: '/v1/session',
      action: { open: 'everyone may end their own session' },
      operationId: 'logOut',
      summary: 'End the session',
      answers: { 204: 'empty' },
      handle: async ({ actor }) => {
        await logout(actor, vault);
        return undefined;
      },
    }),
  ];
}

/** Who is enrolled here: what a reviewer of access asks, and a policy author before a change. */
import { z } from 'zod';
import { parseName } from '../../domain/ids.ts';
import { listAdministrators, listRequesters } from '../../vault/people.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Route } from '../route.ts';
import * as answers from './answers.ts';
import { type AdminCallers, NAMESPACE } from './callers.ts';

export function peopleRoutes(vault: Vault, { forAdministrator }: AdminCallers): Route[] {
  return [
    forAdministrator({
      method: 'get',
      path: '/v1/administrators',
      action: 'readCatalogue',
      operationId: 'listAdministrators',
      summary: 'Everyone who administers this vault, as their signed documents say',
      answers: { 200: answers.administrators },
      handle: ({ actor }) => listAdministrators(actor, vault),
    }),
    forAdministrator({
      method: 'get',
      path: `${NAMESPACE}/requesters`,
      action: 'readCatalogue',
      operationId: 'listRequesters',
      summary: 'The machines enrolled in a namespace, by name',
      query: z.strictObject({ after: z.string().max(64).optional() }),
      answers: { 200: answers.requesters },
      handle: ({ actor, params, query }) => {
        const after = query.after === undefined ? undefined : parseName(query.after, 'after');
        return listRequesters(actor, { namespace: params.namespace, after }, vault);
      },
    }),
  ];
}

/** What waits for a second person. */
import { parseDigest } from '../../domain/ids.ts';
import { approve, cancelRequest, pendingApprovals } from '../../vault/approve.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Route } from '../route.ts';
import * as answers from './answers.ts';
import * as bodies from './bodies.ts';
import { type AdminCallers, NAMESPACE } from './callers.ts';

export function requestRoutes(vault: Vault, { forAdministrator }: AdminCallers): Route[] {
  return [
    forAdministrator({
      method: 'get',
      path: `${NAMESPACE}/requests`,
      action: 'readCatalogue',
      operationId: 'listRequests',
      summary: 'Pending requests, each with the exact operation',
      answers: { 200: answers.requests },
      handle: async ({ actor, params }) => ({ requests: (await pendingApprovals(actor, params.namespace, vault)).map(shown) }),
    }),
    forAdministrator({
      method: 'post',
      path: `${NAMESPACE}/requests/:request/approve`,
      action: 'approve',
      operationId: 'approveRequest',
      summary: 'Consent to a request of somebody else, which executes it',
      body: bodies.approve,
      answers: { 200: answers.approval },
      handle: ({ actor, params, body }) => approve(actor, params.request, parseDigest(body.operationDigest), vault),
    }),
    forAdministrator({
      method: 'post',
      path: `${NAMESPACE}/requests/:request/cancel`,
      action: 'approve',
      operationId: 'cancelRequest',
      summary: 'Take a request back: one’s own, or as someone who could approve it',
      answers: { 200: answers.approval },
      handle: ({ actor, params }) => cancelRequest(actor, params.request, vault),
    }),
  ];
}

/** What an approver sees of a request: everything that would be executed. */
function shown(row: Awaited<ReturnType<typeof pendingApprovals>>[number]) {
  const { requestId, kind, operation, operationDigest, requestedBy, requester, summary, createdAt, expiresAt } = row;
  const who = { requestedBy, ...(requester && { requester }) };
  return { requestId, kind, operation: { ...operation }, operationDigest, ...who, summary, createdAt, expiresAt };
}

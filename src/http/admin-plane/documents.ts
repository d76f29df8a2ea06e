/** The signed documents that a namespace has in force: policies, reference values, trust anchors. Putting one in force is a request. */
import { DEFAULTS } from '../../domain/classes.ts';
import { requestApproval } from '../../vault/approve.ts';
import { readSlot } from '../../vault/catalogue.ts';
import type { Operation } from '../../vault/operations/operation.ts';
import { OPERATION_ACTIONS } from '../../vault/operations/registry.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Route } from '../route.ts';
import * as answers from './answers.ts';
import * as bodies from './bodies.ts';
import { type AdminCallers, NAMESPACE } from './callers.ts';

export function documentRoutes(vault: Vault, { forAdministrator }: AdminCallers): Route[] {
  return [
    forAdministrator({
      method: 'get',
      path: `${NAMESPACE}/documents/:slot`,
      action: 'readCatalogue',
      operationId: 'readDocument',
      summary: 'The document in force, with the counter that the next one must exceed by one',
      answers: { 200: answers.document },
      handle: ({ actor, params }) => readSlot(actor, params.namespace, params.slot, vault),
    }),
    forAdministrator({
      method: 'put',
      path: `${NAMESPACE}/documents/policy-set`,
      action: OPERATION_ACTIONS['policy-set'],
      operationId: 'proposePolicySet',
      summary: 'Ask for a policy set to come in force',
      body: bodies.policySet,
      bodyBytes: DEFAULTS.evidenceBodyBytes,
      answers: { 201: answers.approval },
      handle: ({ actor, params, body }) => requestApproval(actor, { kind: 'policy-set', ...params, ...body }, vault),
    }),
    forAdministrator({
      method: 'put',
      path: `${NAMESPACE}/documents/reference-values`,
      action: OPERATION_ACTIONS['reference-values'],
      operationId: 'proposeReferenceValues',
      summary: 'Ask for reference values to come in force',
      body: bodies.referenceValues,
      bodyBytes: DEFAULTS.evidenceBodyBytes,
      answers: { 201: answers.approval },
      // The domain has no optional member that may also be undefined; JSON has none either.
      handle: ({ actor, params, body }) => requestApproval(actor, { kind: 'reference-values', ...params, ...body } as Operation, vault),
    }),
    forAdministrator({
      method: 'put',
      path: `${NAMESPACE}/documents/trust-anchors`,
      action: OPERATION_ACTIONS['trust-anchors'],
      operationId: 'proposeTrustAnchors',
      summary: 'Ask for trust anchors to come in force',
      body: bodies.trustAnchors,
      bodyBytes: DEFAULTS.evidenceBodyBytes,
      answers: { 201: answers.approval },
      handle: ({ actor, params, body }) => requestApproval(actor, { kind: 'trust-anchors', ...params, ...body }, vault),
    }),
  ];
}

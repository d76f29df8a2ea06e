/** What the rules raised, and asking for other rules or receivers. */
import { DEFAULTS } from '../../domain/classes.ts';
import { SYSTEM } from '../../domain/ids.ts';
import { listAlerts, readAlert } from '../../vault/alerts.ts';
import { requestApproval } from '../../vault/approve.ts';
import type { Operation } from '../../vault/operations/operation.ts';
import { OPERATION_ACTIONS } from '../../vault/operations/registry.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Route } from '../route.ts';
import * as answers from './answers.ts';
import * as bodies from './bodies.ts';
import type { AdminCallers } from './callers.ts';

export function alertRoutes(vault: Vault, { forAdministrator }: AdminCallers): Route[] {
  return [
    forAdministrator({
      method: 'get',
      path: '/v1/alerts',
      action: 'readLog',
      operationId: 'listAlerts',
      summary: 'What the rules raised, newest first',
      query: bodies.alertPage,
      answers: { 200: answers.alerts },
      handle: ({ actor, query }) => listAlerts(actor, query, vault),
    }),
    forAdministrator({
      method: 'get',
      path: '/v1/alerts/:record',
      action: 'readLog',
      operationId: 'readAlert',
      summary: 'One alert, by the id of its record',
      answers: { 200: answers.alert },
      handle: ({ actor, params }) => readAlert(actor, params.record, vault),
    }),
    forAdministrator({
      method: 'put',
      path: '/v1/alert-rules',
      action: OPERATION_ACTIONS['alert-rules'],
      operationId: 'proposeAlertRules',
      summary: 'Ask for alert rules (Sigma files) to come in force; another person must consent',
      body: bodies.alertRules,
      bodyBytes: DEFAULTS.evidenceBodyBytes,
      answers: { 201: answers.approval },
      handle: ({ actor, body }) => requestApproval(actor, { kind: 'alert-rules', namespace: SYSTEM, ...body }, vault),
    }),
    forAdministrator({
      method: 'put',
      path: '/v1/alert-delivery',
      action: OPERATION_ACTIONS['alert-delivery'],
      operationId: 'proposeAlertDelivery',
      summary: 'Ask for other receivers of alerts; another person must consent',
      body: bodies.alertDelivery,
      answers: { 201: answers.approval },
      // The domain has no optional member that may also be undefined; JSON has none either.
      handle: ({ actor, body }) => requestApproval(actor, { kind: 'alert-delivery', namespace: SYSTEM, ...body } as Operation, vault),
    }),
  ];
}

/** The access log, to verify and to review: the whole of it, and what of it is of one namespace. */
import { DEFAULTS } from '../../domain/classes.ts';
import { SYSTEM } from '../../domain/ids.ts';
import { requestApproval } from '../../vault/approve.ts';
import { readLogRetention, requestLogClosing, requestLogRetention } from '../../vault/log-retention.ts';
import type { Operation } from '../../vault/operations/operation.ts';
import { OPERATION_ACTIONS } from '../../vault/operations/registry.ts';
import { readCheckpoint, readRecord, readTile } from '../../vault/review.ts';
import { logTotals, readIndex, rebuildIndex, searchLog } from '../../vault/search-log.ts';
import { readSinks } from '../../vault/sink-lag.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Route } from '../route.ts';
import * as answers from './answers.ts';
import * as bodies from './bodies.ts';
import { type AdminCallers, NAMESPACE } from './callers.ts';
import { logQuery, logQueryOf, namespaceLogQuery, rangeOf, totalsQuery } from './log-query.ts';

export function logRoutes(vault: Vault, callers: AdminCallers): Route[] {
  return [...wholeLog(vault, callers), ...namespaceLog(vault, callers)];
}

function wholeLog(vault: Vault, { forAdministrator }: AdminCallers): Route[] {
  return [
    forAdministrator({
      method: 'get',
      path: '/v1/log/checkpoint',
      action: 'readLog',
      operationId: 'readCheckpoint',
      summary: 'The newest signed checkpoint (c2sp.org/tlog-checkpoint)',
      answers: { 200: 'bytes' },
      handle: ({ actor }) => readCheckpoint(actor, undefined, vault),
    }),
    forAdministrator({
      method: 'get',
      path: '/v1/log/checkpoint/witnessed',
      action: 'readLog',
      operationId: 'readWitnessedCheckpoint',
      summary: 'The newest checkpoint that a quorum of witnesses cosigned, with their lines (c2sp.org/tlog-cosignature)',
      answers: { 200: 'bytes' },
      handle: ({ actor }) => readCheckpoint(actor, undefined, vault, 'witnessed'),
    }),
    forAdministrator({
      method: 'get',
      path: '/v1/log/tile/*tile',
      action: 'readLog',
      operationId: 'readTile',
      summary: 'A tile or an entry bundle (c2sp.org/tlog-tiles)',
      answers: { 200: 'bytes' },
      handle: ({ actor, params }) => readTile(actor, `tile/${params.tile}`, undefined, vault),
    }),
    forAdministrator({
      method: 'get',
      path: '/v1/log/records',
      action: 'readLog',
      operationId: 'searchLog',
      summary: 'Records by what they say, newest first unless asked otherwise; page by index',
      query: logQuery,
      answers: { 200: answers.logPage },
      handle: ({ actor, query }) => searchLog(actor, logQueryOf(query), undefined, vault),
    }),
    forAdministrator({
      method: 'get',
      path: '/v1/log/records/:record',
      action: 'readLog',
      operationId: 'readRecord',
      summary: 'One record, and the result of the appraisal it names',
      answers: { 200: answers.record },
      handle: ({ actor, params }) => readRecord(actor, params.record, undefined, vault),
    }),
    forAdministrator({
      method: 'get',
      path: '/v1/log/totals',
      action: 'readLog',
      operationId: 'readLogTotals',
      summary: 'Records and released bytes by day, namespace, type, outcome and reason',
      query: totalsQuery,
      answers: { 200: answers.logTotals },
      handle: ({ actor, query }) => logTotals(actor, rangeOf(query, new Date()), undefined, vault),
    }),
    ...retention(vault, { forAdministrator }),
    forAdministrator({
      method: 'get',
      path: '/v1/log/index',
      action: 'readLog',
      operationId: 'readSearchIndex',
      summary: 'How many records can be searched, and how many there are',
      answers: { 200: answers.searchIndex },
      handle: ({ actor }) => readIndex(actor, vault),
    }),
    forAdministrator({
      method: 'get',
      path: '/v1/log/sinks',
      action: 'readLog',
      operationId: 'readLogSinks',
      summary: 'Where records are sent, and how far each sink is; the signed document is the slot `log-sinks` of the namespace system',
      answers: { 200: answers.logSinks },
      handle: ({ actor }) => readSinks(actor, vault),
    }),
    forAdministrator({
      method: 'put',
      path: '/v1/log/sinks',
      action: OPERATION_ACTIONS['log-sinks'],
      operationId: 'proposeLogSinks',
      summary: 'Ask for records to be sent elsewhere; another person must consent',
      body: bodies.logSinks,
      bodyBytes: DEFAULTS.evidenceBodyBytes,
      answers: { 201: answers.approval },
      // The domain has no optional member that may also be undefined; JSON has none either.
      handle: ({ actor, body }) => requestApproval(actor, { kind: 'log-sinks', namespace: SYSTEM, ...body } as Operation, vault),
    }),
    forAdministrator({
      method: 'post',
      path: '/v1/log/index/rebuild',
      action: 'readLog',
      operationId: 'rebuildSearchIndex',
      summary: 'Empty the search index; it is made again from the records, in the background',
      answers: { 200: answers.searchIndex },
      handle: ({ actor }) => rebuildIndex(actor, vault),
    }),
  ];
}

function retention(vault: Vault, { forAdministrator }: Pick<AdminCallers, 'forAdministrator'>): Route[] {
  return [
    forAdministrator({
      method: 'get',
      path: '/v1/log/retention',
      action: 'readCatalogue',
      operationId: 'readLogRetention',
      summary: 'How many days records and disclosures are kept, and below which index records were pruned',
      answers: { 200: answers.logRetention },
      handle: ({ actor }) => readLogRetention(actor, vault),
    }),
    forAdministrator({
      method: 'put',
      path: '/v1/log/retention',
      action: OPERATION_ACTIONS['log-retention'],
      operationId: 'setLogRetention',
      summary: 'Ask for another retention policy; what is not named is kept for ever, what is older is removed for good',
      body: bodies.logRetention,
      answers: { 201: answers.approval },
      handle: ({ actor, body }) => requestLogRetention(actor, body, vault),
    }),
    forAdministrator({
      method: 'put',
      path: '/v1/log/closed',
      action: OPERATION_ACTIONS['close-log'],
      operationId: 'closeLog',
      summary: 'Ask for a period of the log to be closed, of which there is an archive; whoever consents has verified it',
      body: bodies.closedLog,
      answers: { 201: answers.approval },
      handle: ({ actor, body }) => requestLogClosing(actor, body, vault),
    }),
  ];
}

function namespaceLog(vault: Vault, { forAdministrator }: AdminCallers): Route[] {
  return [
    forAdministrator({
      method: 'get',
      path: `${NAMESPACE}/log/checkpoint`,
      action: 'readLog',
      operationId: 'readNamespaceCheckpoint',
      summary: 'The newest signed checkpoint, for a reviewer of one namespace',
      answers: { 200: 'bytes' },
      handle: ({ actor, params }) => readCheckpoint(actor, params.namespace, vault),
    }),
    forAdministrator({
      method: 'get',
      path: `${NAMESPACE}/log/checkpoint/witnessed`,
      action: 'readLog',
      operationId: 'readNamespaceWitnessedCheckpoint',
      summary: 'The newest checkpoint that a quorum of witnesses cosigned, for a reviewer of one namespace',
      answers: { 200: 'bytes' },
      handle: ({ actor, params }) => readCheckpoint(actor, params.namespace, vault, 'witnessed'),
    }),
    forAdministrator({
      method: 'get',
      path: `${NAMESPACE}/log/tile/*tile`,
      action: 'readLog',
      operationId: 'readNamespaceTile',
      summary: 'A tile of hashes, which proves records of the namespace; no entry bundles',
      answers: { 200: 'bytes' },
      handle: ({ actor, params }) => readTile(actor, `tile/${params.tile}`, params.namespace, vault),
    }),
    forAdministrator({
      method: 'get',
      path: `${NAMESPACE}/log/records`,
      action: 'readLog',
      operationId: 'searchNamespaceLog',
      summary: 'Records of one namespace by what they say, newest first unless asked otherwise; page by index',
      query: namespaceLogQuery,
      answers: { 200: answers.logPage },
      handle: ({ actor, params, query }) => searchLog(actor, logQueryOf(query), params.namespace, vault),
    }),
    forAdministrator({
      method: 'get',
      path: `${NAMESPACE}/log/records/:record`,
      action: 'readLog',
      operationId: 'readNamespaceRecord',
      summary: 'One record of the namespace, and the result of the appraisal it names',
      answers: { 200: answers.record },
      handle: ({ actor, params }) => readRecord(actor, params.record, params.namespace, vault),
    }),
    forAdministrator({
      method: 'get',
      path: `${NAMESPACE}/log/totals`,
      action: 'readLog',
      operationId: 'readNamespaceLogTotals',
      summary: 'Records and released bytes of one namespace by day, type, outcome and reason',
      query: totalsQuery,
      answers: { 200: answers.logTotals },
      handle: ({ actor, params, query }) => logTotals(actor, rangeOf(query, new Date()), params.namespace, vault),
    }),
  ];
}

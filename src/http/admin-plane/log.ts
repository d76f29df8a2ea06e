/** The access log, to verify and to review. */
import { readCheckpoint, readRecord, readTile } from '../../vault/review.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Route } from '../route.ts';
import * as answers from './answers.ts';
import type { AdminCallers } from './callers.ts';

export function logRoutes(vault: Vault, { forAdministrator }: AdminCallers): Route[] {
  return [
    forAdministrator({
      method: 'get',
      path: '/v1/log/checkpoint',
      action: 'readLog',
      operationId: 'readCheckpoint',
      summary: 'The newest signed checkpoint (c2sp.org/tlog-checkpoint)',
      answers: { 200: 'bytes' },
      handle: ({ actor }) => readCheckpoint(actor, vault),
    }),
    forAdministrator({
      method: 'get',
      path: '/v1/log/tile/*tile',
      action: 'readLog',
      operationId: 'readTile',
      summary: 'A tile or an entry bundle (c2sp.org/tlog-tiles)',
      answers: { 200: 'bytes' },
      handle: ({ actor, params }) => readTile(actor, `tile/${params.tile}`, vault),
    }),
    forAdministrator({
      method: 'get',
      path: '/v1/log/records/:record',
      action: 'readLog',
      operationId: 'readRecord',
      summary: 'One record, and the result of the appraisal it names',
      answers: { 200: answers.record },
      handle: ({ actor, params }) => readRecord(actor, params.record, vault),
    }),
  ];
}

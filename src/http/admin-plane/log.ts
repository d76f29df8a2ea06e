/** The access log, to verify and to review. */
import { readCheckpoint, readTile } from '../../vault/review.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Route } from '../route.ts';
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
  ];
}

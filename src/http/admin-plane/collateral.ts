/** What makers of hardware publish and verdicts need: revocation lists, TCB information, signed measurements. */
import { fromBase64 } from '../../domain/bytes.ts';
import { DEFAULTS } from '../../domain/classes.ts';
import { importCollateral, listCollateral } from '../../vault/collateral.ts';
import type { Vault } from '../../vault/vault.ts';
import type { Route } from '../route.ts';
import * as answers from './answers.ts';
import * as bodies from './bodies.ts';
import type { AdminCallers } from './callers.ts';

export function collateralRoutes(vault: Vault, { forAdministrator }: AdminCallers): Route[] {
  return [
    forAdministrator({
      method: 'post',
      path: '/v1/collateral',
      action: 'importCollateral',
      operationId: 'importCollateral',
      summary: 'Keep one publication of a maker; its signature must lead to one of the shipped roots',
      body: bodies.collateral,
      bodyBytes: DEFAULTS.evidenceBodyBytes,
      answers: { 201: answers.importedCollateral },
      handle: ({ actor, body }) => importCollateral(actor, { name: body.name, bytes: fromBase64(body.bytes) }, vault),
    }),
    forAdministrator({
      method: 'get',
      path: '/v1/collateral',
      action: 'importCollateral',
      operationId: 'listCollateral',
      summary: 'The newest of everything that is kept, with the dates its maker gave it',
      answers: { 200: answers.collateral },
      handle: async ({ actor }) => ({ collateral: [...(await listCollateral(actor, vault))] }),
    }),
  ];
}

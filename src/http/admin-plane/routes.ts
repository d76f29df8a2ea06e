/**
 * The admin plane, for people on their workstations. Its own listener; with the data plane it shares the node's health and nothing else.
 * To add a route: an entry in the file of its subject. To add a subject: a file like requests.ts, and its line here.
 */
import { createReadiness } from '../../vault/readiness.ts';
import type { Vault } from '../../vault/vault.ts';
import { healthRoutes } from '../health.ts';
import { withOpenApi } from '../openapi.ts';
import type { Route } from '../route.ts';
import { administratorRoutes } from './administrators.ts';
import { alertRoutes } from './alerts.ts';
import { adminCallers } from './callers.ts';
import { collateralRoutes } from './collateral.ts';
import { documentRoutes } from './documents.ts';
import { keyRoutes } from './keys.ts';
import { logRoutes } from './log.ts';
import { namingRoutes } from './naming.ts';
import { peopleRoutes } from './people.ts';
import { publishingRoutes } from './publishing.ts';
import { requesterRoutes } from './requesters.ts';
import { requestRoutes } from './requests.ts';
import { sessionRoutes } from './session.ts';
import { stopRoutes } from './stops.ts';

export function adminPlaneRoutes(vault: Vault, readiness = createReadiness(vault)): readonly Route[] {
  const callers = adminCallers(vault);
  return withOpenApi('Weight Vault: admin plane', [
    ...healthRoutes(readiness),
    ...sessionRoutes(vault, callers),
    ...administratorRoutes(vault, callers),
    ...publishingRoutes(vault, callers),
    ...namingRoutes(vault, callers),
    ...documentRoutes(vault, callers),
    ...collateralRoutes(vault, callers),
    ...requestRoutes(vault, callers),
    ...requesterRoutes(vault, callers),
    ...stopRoutes(vault, callers),
    ...peopleRoutes(vault, callers),
    ...keyRoutes(vault, callers),
    ...logRoutes(vault, callers),
    ...alertRoutes(vault, callers),
  ]);
}

/** Who may call a route of the admin plane, and the helpers that make routes for them. */
import { type Namespace, parseName } from '../../domain/ids.ts';
import { spkiDigestOf } from '../../identity/certificates.ts';
import { authenticate } from '../../vault/authorize.ts';
import { recordMetadataRead } from '../../vault/metadata-read.ts';
import type { Vault } from '../../vault/vault.ts';
import { clientSpki, remoteAddressOf, requestIdOf } from '../request.ts';
import { type RouteFacts, routeFor } from '../route.ts';

/** Everything of one namespace stands below this. */
export const NAMESPACE = '/v1/namespaces/:namespace';

/** `forAdministrator` gives its handler the authenticated `actor`, `forWorkstation` a TLS key that nobody vouches for. */
export function adminCallers(vault: Vault) {
  return {
    forAdministrator: routeFor(
      'session',
      async (request, response) => {
        const workstation = spkiDigestOf(clientSpki(request));
        const token = sessionToken(request.headers.authorization);
        const asked = { token, workstation, requestId: requestIdOf(response), remoteAddress: remoteAddressOf(request) };
        return { actor: await authenticate(asked, vault) };
      },
      async ({ actor }, route, request) => {
        if (!readsMetadata(route)) return;
        const { namespace } = request.params;
        const where = typeof namespace === 'string' ? parseName<Namespace>(namespace, 'namespace') : undefined;
        await recordMetadataRead(actor, `${route.operationId} ${request.path}`, where, vault);
      },
    ),
    forWorkstation: routeFor('workstation', (request) => ({ workstation: spkiDigestOf(clientSpki(request)) })),
  };
}

/** Who may read the log may see these too, and they are none of its records. */
const ABOUT_THE_LOG: ReadonlySet<string> = new Set(['readLogSinks', 'readSearchIndex']);

/** Reading the log is recorded where it is read (vault/review.ts), and says of what; who sees only their own session reads nothing. */
function readsMetadata({ method, action, operationId }: RouteFacts): boolean {
  return method === 'get' && typeof action === 'string' && (action !== 'readLog' || ABOUT_THE_LOG.has(operationId));
}

export type AdminCallers = ReturnType<typeof adminCallers>;

export function sessionToken(header: string | undefined): string | undefined {
  return /^Bearer ([A-Za-z0-9_-]{43})$/.exec(header ?? '')?.[1];
}

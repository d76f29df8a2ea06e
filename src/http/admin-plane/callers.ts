/** Who may call a route of the admin plane, and the helpers that make routes for them. */
import { spkiDigestOf } from '../../identity/certificates.ts';
import { authenticate } from '../../vault/authorize.ts';
import type { Vault } from '../../vault/vault.ts';
import { clientSpki, remoteAddressOf, requestIdOf } from '../request.ts';
import { routeFor } from '../route.ts';

/** Everything of one namespace stands below this. */
export const NAMESPACE = '/v1/namespaces/:namespace';

/** `forAdministrator` gives its handler the authenticated `actor`, `forWorkstation` a TLS key that nobody vouches for. */
export function adminCallers(vault: Vault) {
  return {
    forAdministrator: routeFor('session', async (request, response) => {
      const workstation = spkiDigestOf(clientSpki(request));
      const token = sessionToken(request.headers.authorization);
      const asked = { token, workstation, requestId: requestIdOf(response), remoteAddress: remoteAddressOf(request) };
      return { actor: await authenticate(asked, vault) };
    }),
    forWorkstation: routeFor('workstation', (request) => ({ workstation: spkiDigestOf(clientSpki(request)) })),
  };
}

export type AdminCallers = ReturnType<typeof adminCallers>;

export function sessionToken(header: string | undefined): string | undefined {
  return /^Bearer ([A-Za-z0-9_-]{43})$/.exec(header ?? '')?.[1];
}

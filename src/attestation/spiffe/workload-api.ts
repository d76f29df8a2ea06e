/** The SPIFFE Workload API (SPIFFE Workload API, sections 5 and 6) over a unix socket: who this process is, as the agent of its machine says. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { VaultError } from '../../domain/errors.ts';
import { callGrpc } from './grpc-call.ts';
import { fieldsOf, textField } from './protobuf.ts';

/** Without it the agent answers nobody (SPIFFE Workload Endpoint, section 6.1): a browser cannot be made to send it. */
const METADATA = { 'workload.spiffe.io': 'true' };
const SVIDS = 1;
const X509 = { svid: 2, key: 3 };
const JWT = { svid: 2 };
const AUDIENCE = 1;

export interface X509Svid {
  /** The workload's first, DER. */
  readonly certificates: readonly Uint8Array[];
  /** PEM. */
  readonly privateKey: string;
}

/** The default identity: the first of those that the agent gives this process. Rejects `usage` with what it said instead. */
export async function fetchX509Svid(endpoint: string): Promise<X509Svid> {
  const svid = await firstSvid(endpoint, 'FetchX509SVID', new Uint8Array(0));
  return orUsage(endpoint, () => {
    const [chain, key] = [X509.svid, X509.key].map((number) => fieldsOf(svid, number)[0]);
    if (chain === undefined || key === undefined) throw new Error('an X.509-SVID without certificate or key');
    const privateKey = createPrivateKey({ key: Buffer.from(key), format: 'der', type: 'pkcs8' });
    return { certificates: certificatesIn(chain), privateKey: String(privateKey.export({ format: 'pem', type: 'pkcs8' })) };
  });
}

/** The same as a token for that audience. */
export async function fetchJwtSvid(endpoint: string, audience: string): Promise<string> {
  const svid = await firstSvid(endpoint, 'FetchJWTSVID', textField(AUDIENCE, audience));
  return orUsage(endpoint, () => {
    const [token] = fieldsOf(svid, JWT.svid);
    if (token === undefined) throw new Error('a JWT-SVID without token');
    return Buffer.from(token).toString('latin1');
  });
}

async function firstSvid(endpoint: string, method: string, request: Uint8Array): Promise<Uint8Array> {
  const socket = socketOf(endpoint);
  const answer = await callGrpc(socket, `/SpiffeWorkloadAPI/${method}`, request, METADATA).catch((cause: unknown) => {
    throw new VaultError('usage', `the Workload API at ${endpoint}: ${cause instanceof Error ? cause.message : 'no answer'}`, { cause });
  });
  return orUsage(endpoint, () => {
    const [svid] = fieldsOf(answer, SVIDS);
    if (svid === undefined) throw new Error('it knows no identity of this process');
    return svid;
  });
}

/** `unix:///run/agent.sock`, `unix:/run/agent.sock`, or the path alone. Never over a network: whoever is on the socket is told apart by the kernel. */
function socketOf(endpoint: string): string {
  const path = endpoint.replace(/^unix:(?:\/\/)?/, '');
  if (!path.startsWith('/')) throw new VaultError('usage', `${endpoint} is no unix socket: unix:///run/spire/agent.sock`);
  return path;
}

/** DER, one behind the other. */
function certificatesIn(bytes: Uint8Array): Uint8Array[] {
  const certificates: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const { raw } = new X509Certificate(bytes.subarray(at));
    certificates.push(new Uint8Array(raw));
    at += raw.length;
  }
  return certificates;
}

function orUsage<T>(endpoint: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : 'an answer that cannot be read';
    throw new VaultError('usage', `the Workload API at ${endpoint}: ${what}`, { cause });
  }
}

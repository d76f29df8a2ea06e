/** The key and certificate a requester connects with. */
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { fetchX509Svid } from '../attestation/spiffe/workload-api.ts';
import { readUserFile } from './files.ts';
import type { RequesterSettings } from './requester-settings.ts';

export interface TlsIdentity {
  /** PEM. */
  readonly certificate: string;
  readonly privateKey: string;
  /** DER, where the certificate is evidence too and did not come from a file. */
  readonly chain: readonly Uint8Array[];
}

/** An X.509-SVID is the TLS identity itself, and is replaced from outside; everybody else has a key of their own. */
export async function tlsIdentity(folder: string, settings: RequesterSettings): Promise<TlsIdentity> {
  if ('workloadApi' in settings && settings.audience === undefined) {
    const { certificates, privateKey } = await fetchX509Svid(settings.workloadApi);
    return { certificate: certificates.map((der) => new X509Certificate(der).toString()).join(''), privateKey, chain: certificates };
  }
  const [certificate, privateKey] =
    'svid' in settings ? [settings.svid, settings.svidKey] : [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  return { certificate: await text(certificate), privateKey: await text(privateKey), chain: [] };
}

/** It has no TLS key of its own in its folder. */
export function isSvid(settings: RequesterSettings): boolean {
  return 'svid' in settings || ('workloadApi' in settings && settings.audience === undefined);
}

async function text(path: string): Promise<string> {
  return (await readUserFile(path)).toString('utf8');
}

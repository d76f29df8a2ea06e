/** Making a kit (kit.ts): a workstation's own key, a certificate over it, and what it needs to find and recognise the vault. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../domain/clock.ts';
import { type IssuedCertificate, issueSelfSigned } from '../identity/certificates.ts';

const CERTIFICATE_DAYS = 365;

export interface NewKit {
  /** Of the administrator. */
  readonly name: string;
  /** Of the admin plane: https://host:port */
  readonly url: string;
  /** PEM of the admin plane: nothing else is trusted. */
  readonly vaultCertificate: string;
}

export function issueWorkstation(name: string): Promise<IssuedCertificate> {
  return issueSelfSigned({ commonName: `workstation of ${name}`, days: CERTIFICATE_DAYS, now: systemClock.now() });
}

/** Writes the folder, which must not exist. The vault will know the workstation by the digest of its key. */
export async function writeKit(folder: string, { name, url, vaultCertificate }: NewKit, issued: IssuedCertificate): Promise<void> {
  await mkdir(folder, { mode: 0o700 });
  await writeFile(join(folder, 'workstation.crt'), issued.certificatePem, { mode: 0o600 });
  await writeFile(join(folder, 'workstation.key'), issued.privateKeyPem, { mode: 0o600 });
  await writeFile(join(folder, 'vault.crt'), vaultCertificate, { mode: 0o644 });
  await writeFile(join(folder, 'kit.json'), `${JSON.stringify({ url, administrator: name }, null, 2)}\n`, { mode: 0o600 });
}

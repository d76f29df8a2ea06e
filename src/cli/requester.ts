/** A requester's folder: its TLS key, its TPM, and where the vault is. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { DataClient } from '../agent/data-client.ts';
import { createHttpsClient, type HttpsClient } from '../agent/https-client.ts';
import { createTpm2Attester } from '../attestation/tpm2/attester.ts';
import { systemClock } from '../domain/clock.ts';
import { parseName } from '../domain/ids.ts';
import { issueSelfSigned } from '../identity/certificates.ts';
import { readUserFile, readUserJson } from './files.ts';

const requesterFile = z.strictObject({
  url: z.url(),
  namespace: z.string(),
  tcti: z.string().min(1),
  akAlgorithm: z.enum(['ecc', 'rsa']),
  pcrs: z.array(z.int().min(0).max(23)).min(1),
});
export type RequesterSettings = z.output<typeof requesterFile>;

export interface Requester {
  readonly settings: RequesterSettings;
  readonly attester: ReturnType<typeof createTpm2Attester>;
  readonly https: HttpsClient;
  readonly client: DataClient;
}

/** Makes the folder with a new TLS key. `vaultCertificate` is the PEM of the vault's data plane, brought here by hand. */
export async function createRequester(folder: string, settings: RequesterSettings, vaultCertificate: Buffer): Promise<void> {
  parseName(settings.namespace, 'namespace');
  await mkdir(join(folder, 'tpm'), { recursive: true, mode: 0o700 });
  const issued = await issueSelfSigned({ commonName: 'weight-vault requester', days: 365, now: systemClock.now() });
  await writeFile(join(folder, 'tls.crt'), issued.certificatePem, { mode: 0o600, flag: 'wx' });
  await writeFile(join(folder, 'tls.key'), issued.privateKeyPem, { mode: 0o600, flag: 'wx' });
  await writeFile(join(folder, 'vault.crt'), vaultCertificate, { mode: 0o644 });
  await writeFile(join(folder, 'requester.json'), `${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 });
}

export async function withRequester<T>(folder: string, use: (requester: Requester) => Promise<T>): Promise<T> {
  const settings = await readUserJson(join(folder, 'requester.json'), requesterFile);
  const text = async (name: string) => (await readUserFile(join(folder, name))).toString('utf8');
  const privateKey = await text('tls.key');
  const https = createHttpsClient({ url: settings.url, ca: await text('vault.crt'), certificate: await text('tls.crt'), privateKey });
  const attester = createTpm2Attester({
    tcti: settings.tcti,
    stateFolder: join(folder, 'tpm'),
    pcrs: { sha256: settings.pcrs },
    akAlgorithm: settings.akAlgorithm,
  });
  try {
    return await use({ settings, attester, https, client: new DataClient(https, settings.namespace, privateKey) });
  } finally {
    https.close();
  }
}

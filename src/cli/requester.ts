/** A requester's folder: its TLS key, what it attests with, and where the vault is. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { DataClient } from '../agent/data-client.ts';
import { createHttpsClient, type HttpsClient } from '../agent/https-client.ts';
import { createJwtAttester } from '../attestation/jwt/attester.ts';
import type { Attester } from '../attestation/port.ts';
import { createTpm2Attester, type Tpm2Attester } from '../attestation/tpm2/attester.ts';
import { systemClock } from '../domain/clock.ts';
import { VaultError } from '../domain/errors.ts';
import { parseName } from '../domain/ids.ts';
import { issueSelfSigned } from '../identity/certificates.ts';
import { readUserFile, readUserJson } from './files.ts';

const where = { url: z.url(), namespace: z.string() };
const tpmFile = z.strictObject({
  ...where,
  /** Absent in folders of before there was another kind. */
  kind: z.literal('tpm2').optional(),
  tcti: z.string().min(1),
  akAlgorithm: z.enum(['ecc', 'rsa']),
  pcrs: z.array(z.int().min(0).max(23)).min(1),
  /** Sent along with each quote. Written by hand; absent: none. */
  eventLog: z.string().min(1).optional(),
});
const argument = z.string().min(1).max(4096);
const tokenFile = z.strictObject({ ...where, kind: z.literal('jwt'), tokenFile: argument });
const tokenCommandFile = z.strictObject({ ...where, kind: z.literal('jwt'), tokenCommand: z.tuple([argument], argument) });
const requesterFile = z.union([tpmFile, tokenFile, tokenCommandFile]);
export type RequesterSettings = z.output<typeof requesterFile>;

export interface Requester<A extends Attester = Attester> {
  readonly settings: RequesterSettings;
  readonly attester: A & { prepare(): Promise<void> };
  readonly https: HttpsClient;
  readonly client: DataClient;
}

/** Makes the folder with a new TLS key. `vaultCertificate` is the PEM of the vault's data plane, brought here by hand. */
export async function createRequester(folder: string, settings: RequesterSettings, vaultCertificate: Buffer): Promise<void> {
  parseName(settings.namespace, 'namespace');
  await mkdir('tcti' in settings ? join(folder, 'tpm') : folder, { recursive: true, mode: 0o700 });
  const issued = await issueSelfSigned({ commonName: 'weight-vault requester', days: 365, now: systemClock.now() });
  await writeFile(join(folder, 'tls.crt'), issued.certificatePem, { mode: 0o600, flag: 'wx' });
  await writeFile(join(folder, 'tls.key'), issued.privateKeyPem, { mode: 0o600, flag: 'wx' });
  await writeFile(join(folder, 'vault.crt'), vaultCertificate, { mode: 0o644 });
  await writeFile(join(folder, 'requester.json'), `${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 });
}

/** Whatever it attests with. */
export function withRequester<T>(folder: string, use: (requester: Requester) => Promise<T>): Promise<T> {
  const make = (settings: RequesterSettings) => ('tcti' in settings ? tpmAttester(folder, settings) : tokenAttester(settings));
  return withAttester(folder, make, use);
}

/** A requester that attests with its TPM. `usage` when it shows tokens: there is nothing to activate or to measure then. */
export function withTpmRequester<T>(folder: string, use: (requester: Requester<Tpm2Attester>) => Promise<T>): Promise<T> {
  const make = (settings: RequesterSettings) => {
    if ('tcti' in settings) return tpmAttester(folder, settings);
    throw new VaultError('usage', `${folder} shows tokens, no TPM takes part: enrol it with \`wv enrol token\``);
  };
  return withAttester(folder, make, use);
}

async function withAttester<A extends Attester, T>(
  folder: string,
  makeAttester: (settings: RequesterSettings) => Requester<A>['attester'],
  use: (requester: Requester<A>) => Promise<T>,
): Promise<T> {
  const settings = await readUserJson(join(folder, 'requester.json'), requesterFile);
  const attester = makeAttester(settings);
  const text = async (name: string) => (await readUserFile(join(folder, name))).toString('utf8');
  const privateKey = await text('tls.key');
  const https = createHttpsClient({ url: settings.url, ca: await text('vault.crt'), certificate: await text('tls.crt'), privateKey });
  try {
    return await use({ settings, attester, https, client: new DataClient(https, settings.namespace, privateKey) });
  } finally {
    https.close();
  }
}

function tpmAttester(folder: string, { tcti, pcrs, akAlgorithm, eventLog }: z.output<typeof tpmFile>): Tpm2Attester {
  return createTpm2Attester({ tcti, stateFolder: join(folder, 'tpm'), pcrs: { sha256: pcrs }, akAlgorithm, eventLogFile: eventLog });
}

/** A token needs nothing before it is asked for. */
function tokenAttester(settings: z.output<typeof tokenFile | typeof tokenCommandFile>): Requester['attester'] {
  const source = 'tokenFile' in settings ? { file: settings.tokenFile } : { command: settings.tokenCommand };
  return { ...createJwtAttester(source), prepare: async () => undefined };
}

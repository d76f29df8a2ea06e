/** A requester's folder: its TLS key, what it attests with, and where the vault is. */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DataClient } from '../agent/data-client.ts';
import type { Attesters } from '../agent/gather-evidence.ts';
import { createHttpsClient, type HttpsClient } from '../agent/https-client.ts';
import { systemClock } from '../domain/clock.ts';
import { VaultError } from '../domain/errors.ts';
import { parseName } from '../domain/ids.ts';
import { issueSelfSigned } from '../identity/certificates.ts';
import { besideOf, machineAttester, type PreparedAttester, tpmAttester } from './attesters.ts';
import { readUserFile, readUserJson } from './files.ts';
import { type Beside, isTpm, type RequesterSettings, requesterFile } from './requester-settings.ts';
import { isSvid, tlsIdentity } from './tls-identity.ts';

export interface Requester<A extends PreparedAttester = PreparedAttester> {
  readonly settings: RequesterSettings;
  readonly attester: A;
  /** `attester` and what stands beside it. */
  readonly attesters: Attesters;
  readonly https: HttpsClient;
  readonly client: DataClient;
}

/** Makes the folder with a new TLS key. `vaultCertificate` is the PEM of the vault's data plane, brought here by hand. */
export async function createRequester(folder: string, settings: RequesterSettings, vaultCertificate: Buffer): Promise<void> {
  parseName(settings.namespace, 'namespace');
  await mkdir(isTpm(settings) ? join(folder, 'tpm') : folder, { recursive: true, mode: 0o700 });
  if (!isSvid(settings)) {
    const issued = await issueSelfSigned({ commonName: 'weight-vault requester', days: 365, now: systemClock.now() });
    await writeFile(join(folder, 'tls.crt'), issued.certificatePem, { mode: 0o600, flag: 'wx' });
    await writeFile(join(folder, 'tls.key'), issued.privateKeyPem, { mode: 0o600, flag: 'wx' });
  }
  await writeFile(join(folder, 'vault.crt'), vaultCertificate, { mode: 0o644 });
  await writeFile(join(folder, 'requester.json'), `${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 });
}

/** Adds a piece that stands beside the machine's own. `usage` when it is there: the vault takes each kind but devices once. */
export async function addBeside(folder: string, piece: Beside): Promise<void> {
  const file = join(folder, 'requester.json');
  const settings = await readUserJson(file, requesterFile);
  const beside = settings.beside ?? [];
  if ([settings.kind, ...beside.map(({ kind }) => kind)].includes(piece.kind))
    throw new VaultError('usage', `${folder} shows ${piece.kind} already`);
  const made = `${file}.new`;
  await writeFile(made, `${JSON.stringify({ ...settings, beside: [...beside, piece] }, null, 2)}\n`, { mode: 0o600 });
  await rename(made, file);
}

/** Whatever it attests with. */
export function withRequester<T>(folder: string, use: (requester: Requester) => Promise<T>): Promise<T> {
  return withAttester(folder, (settings, chain) => machineAttester(folder, settings, chain), use);
}

/** A requester that attests with its TPM. `usage` when it does not: there is nothing to activate or to measure then. */
export function withTpmRequester<T>(folder: string, use: (requester: Requester<ReturnType<typeof tpmAttester>>) => Promise<T>): Promise<T> {
  const make = (settings: RequesterSettings) => {
    if (isTpm(settings)) return tpmAttester(folder, settings);
    throw new VaultError('usage', `${folder} has no TPM take part: enrol it with \`wv enrol token\` or \`wv enrol workload\``);
  };
  return withAttester(folder, make, use);
}

async function withAttester<A extends PreparedAttester, T>(
  folder: string,
  makeAttester: (settings: RequesterSettings, chain: readonly Uint8Array[]) => A,
  use: (requester: Requester<A>) => Promise<T>,
): Promise<T> {
  const settings = await readUserJson(join(folder, 'requester.json'), requesterFile);
  const { certificate, privateKey, chain } = await tlsIdentity(folder, settings);
  const attester = makeAttester(settings, chain);
  const https = createHttpsClient({
    url: settings.url,
    ca: (await readUserFile(join(folder, 'vault.crt'))).toString('utf8'),
    certificate,
    privateKey,
  });
  try {
    const attesters = { machine: attester, ...besideOf(settings) };
    return await use({ settings, attester, attesters, https, client: new DataClient(https, settings.namespace, privateKey) });
  } finally {
    https.close();
  }
}

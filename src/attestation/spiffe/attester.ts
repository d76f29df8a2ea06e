/** Attester of kind `spiffe`: shows what the Workload API says this process is, or what spiffe-helper keeps fresh in files. */
import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { toBase64 } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import type { Attester } from '../port.ts';
import { fetchJwtSvid } from './workload-api.ts';

export type SpiffeSource =
  /** PEM of an X.509-SVID and its intermediates. Its key must be the key of the TLS connection. */
  | { readonly certificates: string }
  /** The same, as the Workload API gave it with the key. DER. */
  | { readonly chain: readonly Uint8Array[] }
  /** A JWT-SVID. */
  | { readonly tokenFile: string }
  /** A new one for each use, so that each is good once. */
  | { readonly workloadApi: string; readonly audience: string };

const MAX_FILE_BYTES = 65_538;

export function createSpiffeAttester(source: SpiffeSource): Attester {
  return {
    kind: 'spiffe',
    async attest() {
      if ('workloadApi' in source) return { token: await fetchJwtSvid(source.workloadApi, source.audience) };
      if ('tokenFile' in source) return { token: (await read(source.tokenFile)).trim() };
      return { certificates: 'chain' in source ? source.chain.map(toBase64) : await chainIn(source.certificates) };
    },
  };
}

async function chainIn(file: string): Promise<string[]> {
  const blocks = (await read(file)).match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    if (blocks.length > 0) return blocks.map((pem) => toBase64(new X509Certificate(pem).raw));
  } catch (cause) {
    throw new VaultError('usage', `${file} holds a certificate that cannot be read`, { cause });
  }
  throw new VaultError('usage', `${file} holds no certificate`);
}

async function read(file: string): Promise<string> {
  try {
    if ((await stat(file)).size > MAX_FILE_BYTES) throw new Error('too large');
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new VaultError('usage', `${file} cannot be read, or is too large`, { cause });
  }
}

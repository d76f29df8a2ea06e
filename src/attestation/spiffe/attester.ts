/** Attester of kind `spiffe`: shows what spiffe-helper keeps fresh in files. The Workload API itself is gRPC; its helper speaks it and is well kept. */
import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { toBase64 } from '../../domain/bytes.ts';
import { VaultError } from '../../domain/errors.ts';
import type { Attester } from '../port.ts';

export type SpiffeSource =
  /** PEM of an X.509-SVID and its intermediates. Its key must be the key of the TLS connection. */
  | { readonly certificates: string }
  /** A JWT-SVID. */
  | { readonly tokenFile: string };

const MAX_FILE_BYTES = 65_538;

export function createSpiffeAttester(source: SpiffeSource): Attester {
  return {
    kind: 'spiffe',
    attest: async () =>
      'tokenFile' in source ? { token: (await read(source.tokenFile)).trim() } : { certificates: await chainIn(source.certificates) },
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

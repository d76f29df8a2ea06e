/**
 * A key that a cloud put into the TPM and vouches for: by a certificate in the TPM or in a file (Google, Azure), or by the hardware report of
 * the guest that Azure's paravisor keeps in the TPM. Runs beside the model server.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { toBase64 } from '../../domain/bytes.ts';
import { derOrPem } from '../x509/pem.ts';
import { MAX_INTERMEDIATES, type Tpm2Body } from './evidence.ts';
import { parseHclReport } from './hcl-report.ts';
import type { TpmTools } from './tools.ts';

export interface CloudKey {
  /** Persistent: 0x81000003 on Azure. */
  readonly handle: string;
  /** NV index of its DER certificate: 0x1c101d0 on Azure; 0x1c10000 (RSA), 0x1c10002 (ECC) on Google. */
  readonly certificate?: string | undefined;
  /** PEM of the issuers between it and the vault's anchor. */
  readonly issuersFile?: string | undefined;
  /** NV index of the HCL report: 0x1400001. */
  readonly hclReport?: string | undefined;
  /** PEM, of a SEV-SNP guest: the chip's certificate, and its issuer. Absent: the vault keeps them. */
  readonly hclIssuersFile?: string | undefined;
  /** Of a TDX guest: resolves with the quote for the TDREPORT in the HCL report. */
  readonly tdQuote?: ((tdReport: Uint8Array) => Promise<Uint8Array>) | undefined;
}

type Vouched = Pick<Tpm2Body, 'akCertificate' | 'akIntermediates' | 'hcl'>;

export async function readVouched(tools: TpmTools, folder: string, key: CloudKey): Promise<Vouched> {
  const issuers = key.issuersFile === undefined ? [] : derOrPem(await readFile(key.issuersFile), 'CERTIFICATE', MAX_INTERMEDIATES);
  return {
    ...(key.certificate !== undefined && { akCertificate: toBase64(withoutPadding(await readIndex(tools, folder, key.certificate))) }),
    ...(issuers.length > 0 && { akIntermediates: issuers.map(toBase64) }),
    ...(key.hclReport !== undefined && { hcl: await readHcl(await readIndex(tools, folder, key.hclReport), key) }),
  };
}

async function readHcl(bytes: Uint8Array, { hclIssuersFile, tdQuote }: CloudKey): Promise<NonNullable<Vouched['hcl']>> {
  const report = toBase64(bytes);
  const hcl = parseHclReport(bytes);
  if (hcl.tee === 'tdx') {
    if (tdQuote === undefined) throw new Error('this is a TDX guest, and nobody makes quotes of its reports');
    return { report, quote: toBase64(await tdQuote(hcl.report)) };
  }
  if (hclIssuersFile === undefined) return { report };
  const [certificate, intermediate] = derOrPem(await readFile(hclIssuersFile), 'CERTIFICATE', 6);
  return {
    report,
    ...(certificate && { certificate: toBase64(certificate) }),
    ...(intermediate && { intermediate: toBase64(intermediate) }),
  };
}

async function readIndex(tools: TpmTools, folder: string, index: string): Promise<Uint8Array> {
  await tools.run(folder, 'tpm2_nvread', '-Q', '-C', 'o', index, '-o', 'index');
  return readFile(join(folder, 'index'));
}

/** Some vendors fill the NV index behind the certificate. A DER sequence says its own length (X.690, 8.1.3). */
export function withoutPadding(der: Uint8Array): Uint8Array {
  const isLong = der[0] === 0x30 && der[1] === 0x82;
  return isLong ? der.subarray(0, 4 + ((der[2] ?? 0) << 8) + (der[3] ?? 0)) : der;
}

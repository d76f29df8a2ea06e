/** SEV-SNP reports and AMD-shaped certificates from keys of our own: any product, any TCB, any field. */
import 'reflect-metadata';
import { KeyObject, sign, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { ExaminationInputs, PinnedRoot } from '../../src/attestation/examination.ts';
import type { Product } from '../../src/attestation/sev-snp/product.ts';

type Keys = { publicKey: webcrypto.CryptoKey; privateKey: webcrypto.CryptoKey };
const RSA = { name: 'RSA-PSS', publicExponent: Uint8Array.of(1, 0, 1), hash: 'SHA-384' };
export const PSS = { name: 'RSA-PSS', hash: 'SHA-384', saltLength: 48 };
const AMD = '1.3.6.1.4.1.3704.1';
export const AMD_NAME = 'O=Advanced Micro Devices, ST=CA, L=Santa Clara, C=US, OU=Engineering';

const makeKeys = async (algorithm: object) =>
  (await webcrypto.subtle.generateKey(algorithm as typeof RSA & { modulusLength: number }, true, ['sign', 'verify'])) as Keys; // makes pairs
export const makeP384 = () => makeKeys({ name: 'ECDSA', namedCurve: 'P-384' });

interface CertificateWishes {
  readonly name: string;
  readonly issuer: string;
  readonly publicKey: webcrypto.CryptoKey;
  readonly signer: webcrypto.CryptoKey;
  readonly extensions: readonly x509.Extension[];
  readonly notAfter?: Date;
  readonly serial?: string;
}

async function certify(wishes: CertificateWishes): Promise<Uint8Array> {
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: wishes.serial ?? '01',
      subject: `CN=${wishes.name}, ${AMD_NAME}`,
      issuer: `CN=${wishes.issuer}, ${AMD_NAME}`,
      notBefore: new Date('2024-01-01T00:00:00Z'),
      notAfter: wishes.notAfter ?? new Date('2044-01-01T00:00:00Z'),
      publicKey: wishes.publicKey,
      signingKey: wishes.signer,
      signingAlgorithm: PSS,
      extensions: [...wishes.extensions],
    },
    webcrypto,
  );
  return new Uint8Array(certificate.rawData);
}

const authority = [new x509.BasicConstraintsExtension(true, undefined, true), new x509.KeyUsagesExtension(0x20 | 0x40, true)];

/** One product line: root, intermediates for VCEK and VLEK, and the keys it certifies. */
export interface SnpLine {
  readonly product: string;
  readonly rootKeys: Keys;
  readonly ask: Uint8Array;
  readonly pinned: PinnedRoot;
  key(wishes: KeyWishes): Promise<{ readonly der: Uint8Array; readonly keys: Keys }>;
  chain(kind?: 'VCEK' | 'VLEK'): Uint8Array;
}

/** AMD's keys have 4096 bits; tests take less, because keys of that size take seconds to make. */
export async function makeSnpLine(product: string, modulusLength = 2048): Promise<SnpLine> {
  const [rootKeys, askKeys] = await Promise.all([makeKeys({ ...RSA, modulusLength }), makeKeys({ ...RSA, modulusLength })]);
  const below = { issuer: `ARK-${product}`, signer: rootKeys.privateKey, extensions: authority };
  const [root, ask, asvk] = await Promise.all([
    certify({ ...below, name: `ARK-${product}`, publicKey: rootKeys.publicKey, serial: '010000' }),
    certify({ ...below, name: `SEV-${product}`, publicKey: askKeys.publicKey, serial: '010001' }),
    certify({ ...below, name: `SEV-VLEK-${product}`, publicKey: askKeys.publicKey, serial: '010002' }),
  ]);
  return {
    product,
    rootKeys,
    ask,
    pinned: { name: `ark-${product}`, vendor: 'amd', certificate: root },
    key: (wishes) => certifyKey(product, askKeys.privateKey, wishes),
    chain: (kind = 'VCEK') => pemOf([kind === 'VCEK' ? ask : asvk, root]),
  };
}

async function certifyKey(product: string, signer: webcrypto.CryptoKey, { kind = 'VCEK', tcb, hwId, ...rest }: KeyWishes) {
  const keys = rest.keys ?? (await makeP384());
  const integer = (value: number) => (value < 128 ? [2, 1, value] : [2, 2, 0, value]);
  const text = (value: string) => [0x16, value.length, ...Buffer.from(value)];
  const extension = (suffix: string, value: readonly number[]) => new x509.Extension(`${AMD}.${suffix}`, false, Uint8Array.from(value));
  const der = await certify({
    name: `SEV-${rest.name ?? kind}`,
    issuer: `SEV-${(rest.issuerKind ?? kind) === 'VLEK' ? 'VLEK-' : ''}${product}`,
    publicKey: keys.publicKey,
    signer,
    extensions: [
      extension('2', text(rest.productName ?? (kind === 'VCEK' ? `${product}-B0` : product))),
      ...Object.entries(tcb).map(([suffix, value]) => extension(`3.${suffix}`, integer(value))),
      ...(kind === 'VCEK' ? [extension('4', [...(hwId ?? CHIP_ID)])] : [extension('5', text('CN=a-cloud'))]),
    ],
    ...(rest.notAfter && { notAfter: rest.notAfter }),
  });
  return { der, keys };
}

export interface KeyWishes {
  readonly kind?: 'VCEK' | 'VLEK';
  readonly issuerKind?: 'VCEK' | 'VLEK';
  readonly name?: string;
  /** By number of the extension below 1.3.6.1.4.1.3704.1.3. */
  readonly tcb: Readonly<Record<string, number>>;
  readonly hwId?: Uint8Array;
  readonly productName?: string;
  readonly keys?: Keys;
  readonly notAfter?: Date;
}

export const CHIP_ID = Uint8Array.from({ length: 64 }, (_, at) => at + 1);

export interface ReportWishes {
  readonly version?: 2 | 3 | 5;
  readonly policy?: bigint;
  readonly signingKey?: number;
  readonly tcb: Uint8Array;
  readonly cpuid?: readonly [number, number, number];
  readonly chipId?: Uint8Array;
  readonly reportData?: Uint8Array;
  /** Bytes to write over the rest before it is signed. */
  readonly patch?: Readonly<Record<number, number>>;
}

export function makeReport(wishes: ReportWishes, signer: webcrypto.CryptoKey): Uint8Array {
  const bytes = new Uint8Array(1184);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, wishes.version ?? 3, true);
  view.setUint32(4, 7, true);
  view.setBigUint64(8, wishes.policy ?? 0x30000n, true);
  view.setUint32(0x34, 1, true);
  view.setUint32(0x48, (wishes.signingKey ?? 0) << 2, true);
  for (const at of [0x38, 0x180, 0x1e0, 0x1f0]) bytes.set(wishes.tcb, at);
  bytes.set(wishes.reportData ?? new Uint8Array(64).fill(9), 0x50);
  bytes.fill(0xab, 0x90, 0xc0);
  if ((wishes.version ?? 3) >= 3) bytes.set(wishes.cpuid ?? [0x19, 0x11, 1], 0x188);
  bytes.set(wishes.chipId ?? CHIP_ID, 0x1a0);
  for (const [at, value] of Object.entries(wishes.patch ?? {})) bytes[Number(at)] = value;
  return signReport(bytes, signer);
}

export function signReport(bytes: Uint8Array, signer: webcrypto.CryptoKey): Uint8Array {
  const signature = sign('sha384', bytes.subarray(0, 672), { key: KeyObject.from(signer), dsaEncoding: 'ieee-p1363' });
  bytes.fill(0, 672);
  bytes.set(signature.subarray(0, 48).toReversed(), 672);
  bytes.set(signature.subarray(48).toReversed(), 672 + 72);
  return bytes;
}

export function pemOf(certificates: readonly Uint8Array[]): Uint8Array {
  const blocks = certificates.map((der) => {
    const lines =
      Buffer.from(der)
        .toString('base64')
        .match(/.{1,64}/g) ?? [];
    return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
  });
  return new Uint8Array(Buffer.from(blocks.join('')));
}

const GENOA_TCB = { raw: Uint8Array.of(10, 0, 0, 0, 0, 0, 23, 84), extensions: { 1: 10, 2: 0, 3: 23, 8: 84 } };
const TURIN_TCB = { raw: Uint8Array.of(1, 2, 3, 4, 0, 0, 0, 71), extensions: { 9: 1, 1: 2, 2: 3, 3: 4, 8: 71 } };
export const TCB: Readonly<Record<Product, typeof GENOA_TCB | typeof TURIN_TCB>> = { Milan: GENOA_TCB, Genoa: GENOA_TCB, Turin: TURIN_TCB };

export const NOW = new Date('2026-01-15T00:00:00Z');

export function snpInputs(
  line: SnpLine,
  evidence: Uint8Array,
  key: Uint8Array,
  change: Partial<ExaminationInputs> = {},
): ExaminationInputs {
  return {
    evidence,
    companions: { endorsement_key_certificate: key, issuer_chain: line.chain() },
    parameters: {},
    roots: [line.pinned],
    now: NOW,
    ...change,
  };
}

/** A small certificate authority for endorsement tests: any subject, any dates, any extensions. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

type KeyPair = { publicKey: webcrypto.CryptoKey; privateKey: webcrypto.CryptoKey };
let serial = 1;

export interface Issued {
  readonly der: Uint8Array;
  readonly name: string;
  readonly keys: KeyPair;
}

export interface CertificateWishes {
  readonly name: string;
  readonly issuer?: Issued;
  /** Default: new keys. */
  readonly publicKey?: webcrypto.CryptoKey;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly extensions?: readonly x509.Extension[];
  readonly hash?: 'SHA-1' | 'SHA-256' | 'SHA-384';
  readonly curve?: 'P-256' | 'P-384' | 'P-521';
  /** Parts before CN, as the vendor orders them: `C=US, O=NVIDIA Corporation`. */
  readonly organization?: string;
}

export const ca = (pathLength?: number) => new x509.BasicConstraintsExtension(true, pathLength, true);
export const keyUsage = (flags: x509.KeyUsageFlags) => new x509.KeyUsagesExtension(flags, true);
export const certSign = keyUsage(x509.KeyUsageFlags.keyCertSign);
export const digitalSignature = keyUsage(x509.KeyUsageFlags.digitalSignature);
export const notCa = new x509.BasicConstraintsExtension(false, undefined, true);
export const usage = (oid: string) => new x509.ExtendedKeyUsageExtension([oid]);
export const unknownCritical = new x509.Extension('1.2.3.4.5', true, Uint8Array.of(5, 0));
export const deviceName = new x509.SubjectAlternativeNameExtension([{ type: 'dn', value: 'CN=id:00001014' }], true);

export async function issue(wishes: CertificateWishes): Promise<Issued> {
  const algorithm = { name: 'ECDSA', namedCurve: wishes.curve ?? 'P-256' };
  const nameOf = (name: string) => (wishes.organization === undefined ? `CN=${name}` : `${wishes.organization}, CN=${name}`);
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as KeyPair; // an EC algorithm makes pairs
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: (serial++).toString(16).padStart(4, '0'),
      subject: nameOf(wishes.name),
      issuer: nameOf(wishes.issuer?.name ?? wishes.name),
      notBefore: wishes.notBefore ?? new Date('2020-01-01T00:00:00Z'),
      notAfter: wishes.notAfter ?? new Date('2040-01-01T00:00:00Z'),
      publicKey: wishes.publicKey ?? keys.publicKey,
      signingKey: (wishes.issuer?.keys ?? keys).privateKey,
      signingAlgorithm: { name: 'ECDSA', hash: wishes.hash ?? 'SHA-256' },
      extensions: [...(wishes.extensions ?? [ca(), certSign])],
    },
    webcrypto,
  );
  return { der: new Uint8Array(certificate.rawData), name: wishes.name, keys };
}

/** A TPM's RSA key as WebCrypto wants it, so that a certificate can be issued for it. */
export function importRsa(spki: Uint8Array): Promise<webcrypto.CryptoKey> {
  return webcrypto.subtle.importKey('spki', spki, { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, true, ['verify']);
}

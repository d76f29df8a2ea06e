/** Lists of revoked certificates from the test authority, any dates and extensions. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { Issued } from './test-ca.ts';

const ECDSA = { name: 'ECDSA', hash: 'SHA-256' };

/** An authority under another name, or with another kind of key. */
export interface CrlIssuer {
  readonly subject: string;
  readonly signer: webcrypto.CryptoKey;
  readonly algorithm: object;
}

export interface CrlWishes {
  readonly issuer: Issued | CrlIssuer;
  readonly revoked?: readonly string[];
  readonly from?: Date;
  readonly until?: Date;
  readonly extensions?: readonly x509.Extension[];
}

/** DER. `revoked`: serials, hex with whole bytes. */
export async function issueCrl({ issuer, revoked = [], from, until, extensions = [] }: CrlWishes): Promise<Uint8Array> {
  const by = 'keys' in issuer ? { subject: `CN=${issuer.name}`, signer: issuer.keys.privateKey, algorithm: ECDSA } : issuer;
  const crl = await x509.X509CrlGenerator.create(
    {
      issuer: by.subject,
      thisUpdate: from ?? new Date('2026-01-01T00:00:00Z'),
      nextUpdate: until ?? new Date('2026-02-01T00:00:00Z'),
      signingAlgorithm: by.algorithm as typeof ECDSA, // the type knows fewer algorithms than the library
      signingKey: by.signer,
      entries: revoked.map((serialNumber) => ({ serialNumber, revocationDate: new Date('2026-01-01T00:00:00Z') })),
      extensions: [...extensions],
    },
    webcrypto,
  );
  return new Uint8Array(crl.rawData);
}

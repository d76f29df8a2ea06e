/** Lists of revoked certificates from the test authority, any dates and extensions. */
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { Issued } from './test-ca.ts';

export interface CrlWishes {
  readonly issuer: Issued;
  readonly revoked?: readonly string[];
  readonly from?: Date;
  readonly until?: Date;
  readonly extensions?: readonly x509.Extension[];
}

/** DER. `revoked`: serials, hex with whole bytes. */
export async function issueCrl({ issuer, revoked = [], from, until, extensions = [] }: CrlWishes): Promise<Uint8Array> {
  const crl = await x509.X509CrlGenerator.create(
    {
      issuer: `CN=${issuer.name}`,
      thisUpdate: from ?? new Date('2026-01-01T00:00:00Z'),
      nextUpdate: until ?? new Date('2026-02-01T00:00:00Z'),
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
      signingKey: issuer.keys.privateKey,
      entries: revoked.map((serialNumber) => ({ serialNumber, revocationDate: new Date('2026-01-01T00:00:00Z') })),
      extensions: [...extensions],
    },
    webcrypto,
  );
  return new Uint8Array(crl.rawData);
}

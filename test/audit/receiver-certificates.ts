/** Certificates for receivers on loopback, made for one test run. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { type CertificateWishes, certSign, ca as isCa, issue, notCa, usage } from '../attestation/test-ca.ts';

export interface ReceiverCertificates {
  /** PEM of the authority. */
  readonly ca: string;
  readonly good: { readonly cert: string; readonly key: string };
  readonly expired: { readonly cert: string; readonly key: string };
  readonly otherName: { readonly cert: string; readonly key: string };
}

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

export async function receiverCertificates(): Promise<ReceiverCertificates> {
  const authority = await issue({ name: 'receivers', extensions: [isCa(), certSign] });
  const server = async (name: string, more: Partial<CertificateWishes> = {}) => {
    const names = new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: name }]);
    const issued = await issue({ name, issuer: authority, extensions: [notCa, usage(SERVER_AUTH), names], ...more });
    const key = await crypto.subtle.exportKey('pkcs8', issued.keys.privateKey);
    return { cert: pem('CERTIFICATE', issued.der), key: pem('PRIVATE KEY', new Uint8Array(key)) };
  };
  return {
    ca: pem('CERTIFICATE', authority.der),
    good: await server('localhost'),
    expired: await server('localhost', { notAfter: new Date('2024-01-01T00:00:00Z') }),
    otherName: await server('elsewhere.example'),
  };
}

function pem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

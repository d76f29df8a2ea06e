/** Self-signed TLS certificates and the digest of a TLS key. Trust is in the key's digest, never in a name. */
import 'reflect-metadata';
import { createHash, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { SpkiDigest } from '../domain/evidence.ts';

export interface IssuedCertificate {
  readonly certificatePem: string;
  /** PKCS#8 PEM: a secret. */
  readonly privateKeyPem: string;
  readonly spkiDigest: SpkiDigest;
}

export interface CertificateRequest {
  readonly commonName: string;
  readonly days: number;
  readonly now: Date;
  /** DNS names or IP addresses, for a server certificate. Absent: a client certificate. */
  readonly hosts?: readonly string[];
}

/** A new P-256 key and a self-signed certificate over it (RFC 5280). */
export async function issueSelfSigned(request: CertificateRequest): Promise<IssuedCertificate> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [request.commonName] }],
    notBefore: new Date(request.now.getTime() - 60_000),
    notAfter: new Date(request.now.getTime() + request.days * 86_400_000),
    signingAlgorithm: algorithm,
    keys,
    extensions: extensionsFor(request),
  });
  const privateKey = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  return {
    certificatePem: `${certificate.toString('pem')}\n`,
    privateKeyPem: `-----BEGIN PRIVATE KEY-----\n${privateKey.toString('base64').replace(/.{64}/g, '$&\n').trimEnd()}\n-----END PRIVATE KEY-----\n`,
    spkiDigest: spkiDigestOf(new Uint8Array(await webcrypto.subtle.exportKey('spki', keys.publicKey))),
  };
}

function extensionsFor(request: CertificateRequest): x509.Extension[] {
  const purpose = request.hosts === undefined ? x509.ExtendedKeyUsage.clientAuth : x509.ExtendedKeyUsage.serverAuth;
  const extensions: x509.Extension[] = [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([purpose]),
  ];
  if (request.hosts !== undefined) {
    const names = request.hosts.map((host) => ({ type: /^[0-9.]+$|:/.test(host) ? ('ip' as const) : ('dns' as const), value: host }));
    extensions.push(new x509.SubjectAlternativeNameExtension(names));
  }
  return extensions;
}

/** SHA-256 of a DER SubjectPublicKeyInfo. */
export function spkiDigestOf(spki: Uint8Array): SpkiDigest {
  return createHash('sha256').update(spki).digest('hex') as SpkiDigest; // a SHA-256 in hex
}

import { X509Certificate } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { issueSelfSigned, spkiDigestOf } from '../../src/identity/certificates.ts';

const now = new Date('2026-11-23T00:00:00Z');

test('a client certificate is self-signed over a key of its own, for TLS clients only', async () => {
  const issued = await issueSelfSigned({ commonName: 'workstation of alice', days: 30, now });
  const certificate = new X509Certificate(issued.certificatePem);
  expect(certificate.verify(certificate.publicKey)).toBe(true);
  expect(certificate.ca).toBe(false);
  expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
  expect(certificate.validToDate).toEqual(new Date('2026-12-23T00:00:00Z'));
  expect(issued.spkiDigest).toBe(spkiDigestOf(new Uint8Array(certificate.publicKey.export({ type: 'spki', format: 'der' }))));
});

test('a server certificate names its hosts', async () => {
  const issued = await issueSelfSigned({ commonName: 'vault', days: 30, now, hosts: ['127.0.0.1', 'localhost'] });
  const certificate = new X509Certificate(issued.certificatePem);
  expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1');
  expect(certificate.checkHost('localhost')).toBe('localhost');
  expect(certificate.checkHost('vault.example')).toBeUndefined();
});

test('two certificates never share a key', async () => {
  const issue = () => issueSelfSigned({ commonName: 'x', days: 1, now });
  const [a, b] = await Promise.all([issue(), issue()]);
  expect(a.spkiDigest).not.toBe(b.spkiDigest);
});

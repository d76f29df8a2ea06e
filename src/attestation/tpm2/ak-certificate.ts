/** Does a certificate of an attestation key lead to a pinned root of its vendor? Google and Microsoft certify the AKs of their virtual TPMs. */
import type { KeyObject } from 'node:crypto';
import type { PinnedRoot } from '../examination.ts';
import { type Certificate, readCertificate } from '../x509/certificate.ts';
import { Malformed } from '../x509/der.ts';
import { nameText } from '../x509/names.ts';
import { IssuerMemo } from '../x509/path.ts';
import { derOrPem } from '../x509/pem.ts';
import { pathOfAk } from './ak-path.ts';

/** Of all roots of these vendors, the ones whose authorities certify TPM keys. */
const TPM_ROOTS: readonly string[] = [
  'azure-virtual-tpm-root-2023',
  'gce-tpm-ek-root-2018',
  'google-ek-ak-ca-root',
  'microsoft-rsa-devices-root-2021',
  'microsoft-tpm-root-2014',
];

export type AkCertificateProblem = 'malformed' | 'untrusted_root' | 'certificate_expired' | 'certificate_not_yet_valid';

export interface AkCertificate {
  readonly key: KeyObject;
  readonly validFrom: Date;
  readonly validUntil: Date;
  /** RFC 4514 text of the root's subject. */
  readonly root: string;
}

export interface AkCertificateInputs {
  /** DER, or PEM of one. */
  readonly certificate: Uint8Array;
  /** PEM: its issuers, and nothing else. */
  readonly chain: Uint8Array | undefined;
  readonly roots: readonly PinnedRoot[];
  readonly now: Date;
}

const memo = new IssuerMemo();

/** The certified key with its root when there is no problem; what could be read otherwise. Does not throw. */
export function examineAkCertificate({ certificate, chain, roots, now }: AkCertificateInputs): {
  readonly problems: readonly AkCertificateProblem[];
  readonly found: Partial<AkCertificate>;
} {
  const pinned = roots.filter(({ name }) => TPM_ROOTS.includes(name)).flatMap((root) => memo.certificates(root.certificate));
  const read = readAll(certificate, chain, pinned);
  if (read === undefined) return { problems: ['malformed', 'untrusted_root'], found: {} };
  const { leaf, path } = read;
  const found = { key: leaf.publicKey, validFrom: leaf.notBefore, validUntil: leaf.notAfter };
  const root = path?.at(-1);
  if (path === undefined || root === undefined) return { problems: ['untrusted_root'], found };
  return { problems: datesOf(path, now), found: { ...found, root: nameText(root.subject) } };
}

interface Followed {
  readonly leaf: Certificate;
  readonly path: readonly Certificate[] | undefined;
}

function readAll(certificate: Uint8Array, chain: Uint8Array | undefined, roots: readonly Certificate[]): Followed | undefined {
  try {
    const [leaf, ...more] = derOrPem(certificate, 'CERTIFICATE', 1).map(readCertificate); // leaves are not kept
    if (leaf === undefined || more.length > 0) return undefined;
    return { leaf, path: pathOfAk(leaf, { issuers: chain === undefined ? [] : memo.certificates(chain), roots, memo }) };
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}

function datesOf(path: readonly Certificate[], now: Date): AkCertificateProblem[] {
  const problems: AkCertificateProblem[] = [];
  if (path.some(({ notAfter }) => now.getTime() > notAfter.getTime())) problems.push('certificate_expired', 'untrusted_root');
  if (path.some(({ notBefore }) => now.getTime() < notBefore.getTime())) problems.push('certificate_not_yet_valid', 'untrusted_root');
  return problems;
}

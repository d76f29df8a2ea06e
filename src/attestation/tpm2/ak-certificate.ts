/** Does a certificate of an attestation key lead to a pinned root of its vendor? Google and Microsoft certify the AKs of their virtual TPMs. */
import type { KeyObject } from 'node:crypto';
import type { PinnedRoot } from '../examination.ts';
import { type Certificate, readCertificate } from '../x509/certificate.ts';
import { orUndefined } from '../x509/der.ts';
import { nameText } from '../x509/names.ts';
import { IssuerMemo } from '../x509/path.ts';
import { derOrPem } from '../x509/pem.ts';
import { type AkListProblem, type AkLists, examineAkLists } from './ak-lists.ts';
import { pathOfAk } from './ak-path.ts';

/** Of all roots of these vendors, the ones whose authorities certify TPM keys. */
const TPM_ROOTS: readonly string[] = [
  'azure-virtual-tpm-root-2023',
  'gce-tpm-ek-root-2018',
  'google-ek-ak-ca-root',
  'microsoft-rsa-devices-root-2021',
  'microsoft-tpm-root-2014',
];

export type AkCertificateProblem = 'malformed' | 'untrusted_root' | 'certificate_expired' | 'certificate_not_yet_valid' | AkListProblem;

export interface AkCertificate {
  readonly key: KeyObject;
  readonly validFrom: Date;
  readonly validUntil: Date;
  /** RFC 4514 text of the root's subject. */
  readonly root: string;
  readonly revocation: AkLists['revocation'];
}

export interface AkCertificateInputs {
  /** DER, or PEM of one. */
  readonly certificate: Uint8Array;
  /** PEM: its issuers, and nothing else. */
  readonly chain: Uint8Array | undefined;
  /** Lists of revoked certificates of its authorities. */
  readonly lists: Uint8Array | undefined;
  readonly roots: readonly PinnedRoot[];
  readonly now: Date;
}

const memo = new IssuerMemo();

/** The certified key with its root when there is no problem; what could be read otherwise. Does not throw. */
export function examineAkCertificate({ certificate, chain, lists, roots, now }: AkCertificateInputs): {
  readonly problems: readonly AkCertificateProblem[];
  readonly found: Partial<AkCertificate>;
} {
  const pinned = roots.filter(({ name }) => TPM_ROOTS.includes(name)).flatMap((root) => memo.certificates(root.certificate));
  const leaf = orUndefined(() => derOrPem(certificate, 'CERTIFICATE', 1).map(readCertificate)[0]); // leaves are not kept
  if (leaf === undefined) return { problems: ['malformed', 'untrusted_root'], found: {} };
  const found = { key: leaf.publicKey, validFrom: leaf.notBefore, validUntil: leaf.notAfter };
  const issuers = chain === undefined ? [] : orUndefined(() => memo.certificates(chain));
  const path = issuers && orUndefined(() => pathOfAk(leaf, { issuers, roots: pinned, memo }));
  if (issuers === undefined) return { problems: ['malformed', 'untrusted_root'], found };
  const root = path?.at(-1);
  if (path === undefined || root === undefined) return { problems: ['untrusted_root'], found };
  const { problems, revocation } = examineAkLists(lists, path, now);
  return { problems: [...datesOf(path, now), ...problems], found: { ...found, root: nameText(root.subject), revocation } };
}

function datesOf(path: readonly Certificate[], now: Date): AkCertificateProblem[] {
  const problems: AkCertificateProblem[] = [];
  if (path.some(({ notAfter }) => now.getTime() > notAfter.getTime())) problems.push('certificate_expired', 'untrusted_root');
  if (path.some(({ notBefore }) => now.getTime() < notBefore.getTime())) problems.push('certificate_not_yet_valid', 'untrusted_root');
  return problems;
}

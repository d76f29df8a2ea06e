/** Does a certificate of an attestation key lead to a pinned root of its vendor? Google and Microsoft certify the AKs of their virtual TPMs. */
import type { KeyObject } from 'node:crypto';
import type { PinnedRoot } from '../examination.ts';
import { type Certificate, MAX_CERTIFICATE_BYTES, readCertificate } from '../x509/certificate.ts';
import { expectTag, Malformed, oidText, parseDer, TAG } from '../x509/der.ts';
import { nameText } from '../x509/names.ts';
import { IssuerMemo, pathToRoot } from '../x509/path.ts';
import { derOrPem } from '../x509/pem.ts';

/** Of all roots of these vendors, the ones whose authorities certify TPM keys. */
const TPM_ROOTS: readonly string[] = [
  'azure-virtual-tpm-root-2023',
  'gce-tpm-ek-root-2018',
  'google-ek-ak-ca-root',
  'microsoft-rsa-devices-root-2021',
  'microsoft-tpm-root-2014',
];
const EXTENDED_KEY_USAGE = '2.5.29.37';
/** tcg-kp-EKCertificate, which Google's AK certificates carry as well, and tcg-kp-AIKCertificate. */
const USAGES = ['2.23.133.8.1', '2.23.133.8.3'];
/** Names the TPM model, critical because the subject is empty (TCG EK Credential Profile); policies: we ask for none; usage: looked at here. */
const KNOWN_CRITICAL = ['2.5.29.17', '2.5.29.32', EXTENDED_KEY_USAGE];

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
  const read = readAll(certificate, chain);
  if (read === undefined) return { problems: ['malformed', 'untrusted_root'], found: {} };
  const { leaf, issuers, ofTpmKey } = read;
  const pinned = roots.filter(({ name }) => TPM_ROOTS.includes(name)).flatMap((root) => memo.certificates(root.certificate));
  const path = pathToRoot(leaf, { issuers, roots: pinned, memo, knownCritical: KNOWN_CRITICAL });
  const found = { key: leaf.publicKey, validFrom: leaf.notBefore, validUntil: leaf.notAfter };
  const root = path?.at(-1);
  // A certificate that leads nowhere has no business here: somebody altered it, or it is of another machine.
  const stray = path !== undefined && issuers.some((issuer) => !path.some(({ fingerprint }) => fingerprint === issuer.fingerprint));
  if (path === undefined || root === undefined || stray || !ofTpmKey) return { problems: ['untrusted_root'], found };
  return { problems: datesOf(path, now), found: { ...found, root: nameText(root.subject) } };
}

interface Chain {
  readonly leaf: Certificate;
  readonly issuers: readonly Certificate[];
  readonly ofTpmKey: boolean;
}

function readAll(certificate: Uint8Array, chain: Uint8Array | undefined): Chain | undefined {
  try {
    const [leaf, ...more] = derOrPem(certificate, 'CERTIFICATE', 1).map(readCertificate); // leaves are not kept
    if (leaf === undefined || more.length > 0) return undefined;
    return { leaf, issuers: chain === undefined ? [] : memo.certificates(chain), ofTpmKey: certifiesTpmKey(leaf) };
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}

/** Not an authority, and for a key of a TPM where it says what for. */
function certifiesTpmKey({ issuesCertificates, extensions }: Certificate): boolean {
  if (issuesCertificates) return false;
  const usage = extensions.get(EXTENDED_KEY_USAGE);
  if (usage === undefined) return true;
  const list = expectTag(parseDer(usage.value, { maxBytes: MAX_CERTIFICATE_BYTES, maxNodes: 50 }), TAG.sequence);
  return list.children.some((oid) => USAGES.includes(oidText(oid)));
}

function datesOf(path: readonly Certificate[], now: Date): AkCertificateProblem[] {
  const problems: AkCertificateProblem[] = [];
  if (path.some(({ notAfter }) => now.getTime() > notAfter.getTime())) problems.push('certificate_expired', 'untrusted_root');
  if (path.some(({ notBefore }) => now.getTime() < notBefore.getTime())) problems.push('certificate_not_yet_valid', 'untrusted_root');
  return problems;
}

/** Does the certificate of a signing key lead to AMD's pinned root, through the right intermediate, and is that one still good? */
import type { ExaminationInputs } from '../examination.ts';
import type { Certificate } from '../x509/certificate.ts';
import { readCertificate } from '../x509/certificate.ts';
import { type Crl, isCrlOf, readCrl } from '../x509/crl.ts';
import { orUndefined } from '../x509/der.ts';
import { partOf } from '../x509/names.ts';
import { type IssuerMemo, pathToRoot } from '../x509/path.ts';
import { derOrPem } from '../x509/pem.ts';
import { curveOf } from '../x509/signature.ts';
import { standing, type Validity } from '../x509/validity.ts';
import { type EndorsementKey, readEndorsementKey } from './endorsement-key.ts';
import { PRODUCTS, type Product } from './product.ts';
import type { SnpWord } from './words.ts';

export interface Endorsement {
  /** Undefined when there is no certificate that can be read as one. */
  readonly key: EndorsementKey | undefined;
  /** The product line that the chain is of. */
  readonly product: Product | undefined;
  /** The leaf, and as far as there is a path, everything up to the root. */
  readonly certificates: readonly Certificate[];
  readonly findings: readonly SnpWord[];
}

export function endorse({ companions, roots, now }: ExaminationInputs, memo: IssuerMemo): Endorsement {
  const pinned = roots.filter(({ vendor }) => vendor === 'amd').flatMap(({ certificate }) => memo.certificates(certificate));
  const { issuer_chain: sentIssuers, endorsement_key_certificate: sentKey } = companions;
  const issuers = sentIssuers === undefined ? [] : orUndefined(() => memo.certificates(sentIssuers));
  const key = sentKey && orUndefined(() => readKey(sentKey));
  // What did not come is not malformed: it leads nowhere.
  const broken: readonly SnpWord[] = issuers === undefined || (sentKey !== undefined && key?.isWhole !== true) ? ['malformed'] : [];
  const path = key && pathToRoot(key.certificate, { issuers: issuers ?? [], roots: pinned, memo });
  const product = productOfChain(path?.slice(1) ?? issuers ?? [], key?.certificate);
  if (key === undefined) return { key, product, certificates: [], findings: [...broken, 'chain_not_to_trusted_root'] };

  const certificates = path ?? [key.certificate];
  // Other authorities of AMD's take nothing away; a root of one's own is a finding.
  const strangers = (issuers ?? [])
    .filter(({ fingerprint }) => !certificates.some((one) => one.fingerprint === fingerprint))
    .filter((one) => pathToRoot(one, { issuers: issuers ?? [], roots: pinned, memo }) === undefined);
  const findings: readonly SnpWord[] = [
    ...broken,
    ...(path !== undefined && isAmdPath(path, key) && strangers.length === 0 ? [] : (['chain_not_to_trusted_root'] as const)),
    ...certificates.flatMap((certificate) => dateOf(lifeOf(certificate), now, 'certificate')),
    ...checkRevocation(companions['crl'], path, now),
  ];
  return { key, product, certificates, findings };
}

const NOTHING = new Uint8Array(0);

function readKey(bytes: Uint8Array): EndorsementKey {
  const [der = NOTHING] = derOrPem(bytes, 'CERTIFICATE', 1);
  return readEndorsementKey(readCertificate(der));
}

/**
 * Leaf, intermediate, root; the intermediate is the one for this kind of key (`SEV-Milan`, or `SEV-VLEK-Milan`), all signed as 57230 says
 * (RSASSA-PSS, SHA-384), the leaf's key on P-384.
 */
function isAmdPath(path: readonly Certificate[], { kind, certificate }: EndorsementKey): boolean {
  const [, intermediate, root, ...more] = path;
  if (intermediate === undefined || root === undefined || more.length > 0) return false;
  const line = partOf(root.subject, 'CN')?.replace(/^ARK-/, '');
  return (
    partOf(intermediate.subject, 'CN') === `SEV-${kind === 'VLEK' ? 'VLEK-' : ''}${line}` &&
    [certificate, intermediate].every(({ algorithm }) => algorithm.scheme === 'rsapss' && algorithm.hash === 'sha384') &&
    curveOf(certificate.publicKey) === 'secp384r1'
  );
}

function productOfChain(issuers: readonly Certificate[], leaf: Certificate | undefined): Product | undefined {
  const names = [...issuers.map(({ subject }) => partOf(subject, 'CN')), leaf && partOf(leaf.issuer, 'CN')];
  const lines = names.flatMap((name) => /^(?:ARK|SEV|SEV-VLEK)-(?!VLEK-)(.+)$/.exec(name ?? '')?.[1] ?? []);
  return PRODUCTS.find((product) => product === lines[0]);
}

/** The ARK's list names intermediates. AMD revokes no VCEK: all have serial 0, and a newer TCB takes their place (57230). */
function checkRevocation(bytes: Uint8Array | undefined, path: readonly Certificate[] | undefined, now: Date): readonly SnpWord[] {
  if (bytes === undefined) return [];
  const [, intermediate, root] = path ?? [];
  const crl = orUndefined(() => readCrl(bytes));
  if (crl === undefined || root === undefined || intermediate === undefined || !isCrlOf(crl, root)) return ['crl_invalid'];
  return [...dateOf(crl, now, 'crl'), ...revokes(crl, intermediate)];
}

function revokes(crl: Crl, { serial }: Certificate): readonly SnpWord[] {
  return crl.revoked.has(serial) ? ['issuer_revoked'] : [];
}

export function lifeOf({ notBefore, notAfter }: Certificate): Validity {
  return { from: notBefore, until: notAfter };
}

function dateOf(period: Validity, now: Date, what: 'certificate' | 'crl'): readonly SnpWord[] {
  const found = standing(period, now);
  return found === 'current' ? [] : [found === 'late' ? `${what}_expired` : `${what}_not_yet_valid`];
}
